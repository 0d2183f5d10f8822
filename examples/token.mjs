/**
 * Signs a token that the examples' policies accept: `node examples/token.mjs --scope orders:read`.
 * The key is made from a sentence that everybody can read. It protects nothing, and must never be trusted by
 * anything but these examples; a real policy names a real issuer.
 */
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { parseArgs } from "node:util";

const SENTENCE = "the key of Postern's examples: everybody has it";
export const ISSUER = "https://issuer.example.com";
const KEY_ID = "example";

// RFC 8410: the fixed bytes before the seed of an Ed25519 private key.
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");
const seed = createHash("sha256").update(SENTENCE).digest();
const privateKey = createPrivateKey({
  key: Buffer.concat([PKCS8_ED25519, seed]),
  format: "der",
  type: "pkcs8",
});

/** The public half, as the policies have it in `jwks.inline`. */
export function exampleJwks() {
  const { kty, crv, x } = createPublicKey(privateKey).export({ format: "jwk" });
  return JSON.stringify({ keys: [{ kty, crv, x, kid: KEY_ID, alg: "EdDSA", use: "sig" }] });
}

/** Claims that are given replace the usual ones; `undefined` leaves one out. */
export function exampleToken(claims = {}) {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: ISSUER, sub: "alice", iat: now, exp: now + 3600, ...claims };
  const input = [{ alg: "EdDSA", typ: "JWT", kid: KEY_ID }, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString("base64url")}`;
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      scope: { type: "string" },
      audience: { type: "string", default: "orders" },
      subject: { type: "string", default: "alice" },
      jwks: { type: "boolean", default: false },
    },
  });
  const token = () =>
    exampleToken({
      aud: values.audience,
      sub: values.subject,
      ...(values.scope && { scope: values.scope }),
    });
  process.stdout.write(`${values.jwks ? exampleJwks() : token()}\n`);
}
