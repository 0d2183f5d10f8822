/** The tokens that the attack tables name, over keys made for this run. */
import type { PublicJwk } from "../../policy/bundle.ts";
import {
  claims,
  ecKey,
  edKey,
  encode,
  hmacToken,
  rsaKey,
  signed,
  token,
  unsignedToken,
} from "../support/tokens.ts";

export interface AttackTokens {
  readonly jwks: readonly PublicJwk[];
  /** Throws for a name that is not in the table. */
  get(name: string): string;
}

export function attackTokens(nowMs: number): AttackTokens {
  const rsa = rsaKey("rsa-1");
  const ec = ecKey("ec-1");
  const ed = edKey("ed-1");
  const weak = rsaKey("weak-1", 1024);
  const attacker = rsaKey("rsa-1");
  const now = Math.floor(nowMs / 1000);
  const good = claims(nowMs, { scope: "orders:read" });
  const without = (name: string): Record<string, unknown> =>
    Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
  const valid = token(rsa, good);
  const [header = "", payload = "", signature = ""] = valid.split(".");

  const table: Record<string, string> = {
    valid,
    "valid-ec": token(ec, good),
    "valid-ed": token(ed, good),
    "valid-without-kid": token(rsa, good, { kid: undefined }),
    "valid-scp-array": token(rsa, { ...without("scope"), scp: ["a", "orders:read"] }),
    "valid-aud-array": token(rsa, { ...good, aud: ["other", "orders"] }),
    "valid-roles": token(rsa, { ...good, roles: ["admin", "ops"] }),
    "no-scope": token(rsa, without("scope")),
    "scope-object": token(rsa, { ...good, scope: { "orders:read": true } }),
    "scope-prefix": token(rsa, { ...good, scope: "orders:read-none xorders:read" }),
    none: unsignedToken(good),
    "none-upper": unsignedToken(good, { alg: "NONE" }),
    "none-kid": unsignedToken(good, { kid: rsa.kid }),
    hs256: hmacToken(rsa, good),
    "hs256-as-rs256": hmacToken(rsa, good, { alg: "RS256" }),
    "alg-array": token(rsa, good, { alg: ["RS256"] }),
    "alg-missing": token(rsa, good, { alg: undefined }),
    "alg-space": token(rsa, good, { alg: " RS256" }),
    "rs256-with-ec-kid": token(rsa, good, { kid: ec.kid }),
    "es256-with-rsa-kid": token(ec, good, { kid: rsa.kid }),
    "ps256-not-listed": token(rsa, good, { alg: "PS256" }),
    forged: token(attacker, good),
    jku: token(attacker, good, { kid: "evil", jku: "http://127.0.0.1:1/jwks" }),
    "jku-known-kid": token(attacker, good, { jku: "http://127.0.0.1:1/jwks" }),
    x5u: token(attacker, good, { x5u: "http://127.0.0.1:1/cert" }),
    jwk: token(attacker, good, { jwk: attacker.jwk }),
    "jwk-no-kid": token(attacker, good, { jwk: attacker.jwk, kid: undefined }),
    x5c: token(attacker, good, { x5c: ["MIIB"] }),
    crit: token(rsa, good, { crit: ["exp"] }),
    "crit-b64": token(rsa, good, { crit: ["b64"], b64: false }),
    "crit-empty": token(rsa, good, { crit: [] }),
    "kid-path": token(attacker, good, { kid: "../../../dev/null" }),
    "kid-sql": token(attacker, good, { kid: "x' UNION SELECT 'key" }),
    "kid-proto": token(attacker, good, { kid: "__proto__" }),
    "kid-number": token(rsa, good, { kid: 1 }),
    "weak-key": token(weak, good),
    "wrong-aud": token(rsa, { ...good, aud: "payments" }),
    "no-aud": token(rsa, without("aud")),
    "aud-prefix": token(rsa, { ...good, aud: "orders.evil" }),
    "aud-mixed": token(rsa, { ...good, aud: ["orders", 1] }),
    "aud-object": token(rsa, { ...good, aud: { orders: true } }),
    "wrong-iss": token(rsa, { ...good, iss: "https://evil.example" }),
    "no-iss": token(rsa, without("iss")),
    "iss-slash": token(rsa, { ...good, iss: "https://id.example.com/" }),
    "iss-case": token(rsa, { ...good, iss: "https://ID.example.com" }),
    "iss-array": token(rsa, { ...good, iss: ["https://id.example.com"] }),
    "iss-proto": token(rsa, { ...good, iss: "__proto__" }),
    "no-exp": token(rsa, without("exp")),
    "exp-string": token(rsa, { ...good, exp: String(now + 600) }),
    "exp-huge": signed(
      `${header}.${encode(JSON.stringify(good).replace(/"exp":[0-9]+/, '"exp":1e999'))}`,
      rsa,
    ),
    expired: token(rsa, { ...good, exp: now - 60 }),
    "within-skew": token(rsa, { ...good, exp: now - 5 }),
    "not-yet": token(rsa, { ...good, nbf: now + 120 }),
    "nbf-string": token(rsa, { ...good, nbf: "0" }),
    "sub-object": token(rsa, { ...good, sub: { admin: true } }),
    "sub-newline": token(rsa, { ...good, sub: "alice\r\nx-admin: true" }),
    "sub-unicode": token(rsa, { ...good, sub: "älice" }),
    "roles-comma": token(rsa, { ...good, roles: ["guest,admin"] }),
    "roles-object": token(rsa, { ...good, roles: { admin: true } }),
    tampered: `${header}.${encode({ ...good, scope: "orders:write orders:read" })}.${signature}`,
    "no-signature": `${header}.${payload}.`,
    "two-parts": `${header}.${payload}`,
    "four-parts": `${valid}.x`,
    jwe: `${encode({ alg: "RSA-OAEP", enc: "A256GCM", kid: rsa.kid })}.a.b.c.d`,
    "padded-base64": `${header}.${payload}.${signature}==`,
    "std-base64": `${header}.${payload}.${signature.slice(0, -1)}+`,
    "inner-space": `${header}. ${payload}.${signature}`,
    "not-json": signed(`${header}.${encode("not json")}`, rsa),
    "array-claims": signed(`${header}.${encode([good])}`, rsa),
    "bad-utf8": signed(`${header}.${Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")}`, rsa),
    "json-serialization": `{"payload":"${payload}","protected":"${header}","signature":"${signature}"}`,
    large: token(rsa, { ...good, pad: "x".repeat(16 * 1024) }),
    huge: token(rsa, { ...good, pad: "x".repeat(1024 * 1024) }),
  };
  return {
    jwks: [rsa.jwk, ec.jwk, ed.jwk, weak.jwk],
    get: (name) => {
      const text = table[name];
      if (text === undefined)
        throw new TypeError(`Cannot fill in token "${name}": it is not in the table`);
      return text;
    },
  };
}
