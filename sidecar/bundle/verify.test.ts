import { createHmac, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { canonicalJson, sealBundle } from "../../policy/encode.ts";
import { readTrustedKeys } from "./trusted-keys.ts";
import type { TrustedKeys } from "./trusted-keys.ts";
import { MAX_BUNDLE_BYTES, createVerifier } from "./verify.ts";

const WORKLOAD = { namespace: "shop", name: "orders" } as const;
const KEY = generateKeyPairSync("ed25519");
const PUBLIC = KEY.publicKey.export({ format: "jwk" });
const HEADER = { alg: "EdDSA", typ: "postern-bundle+jws", kid: "k1" } as const;
const CLOSED = {
  workload: WORKLOAD,
  policies: [],
  layers: [],
  closed: { code: "policy.none", detail: "No policy selects it" },
} as const;
const CONTENT = canonicalJson(sealBundle(CLOSED, { revision: 3, issuedAtMs: 1 }));

async function trusted(): Promise<TrustedKeys> {
  return readTrustedKeys({ keys: [{ kty: "OKP", crv: "Ed25519", x: PUBLIC.x, kid: "k1" }] });
}

function jws(header: object, payload: string | Uint8Array = CONTENT, sign = signEd): Uint8Array {
  const input = `${base64url(JSON.stringify(header))}.${base64url(payload)}`;
  return Buffer.from(`${input}.${base64url(sign(input))}`);
}

function signEd(input: string): Uint8Array {
  return signBytes(null, Buffer.from(input), KEY.privateKey);
}

function base64url(value: string | Uint8Array): string {
  return Buffer.from(value).toString("base64url");
}

describe("createVerifier()", () => {
  test("takes what a trusted key signed for this workload, and keeps the signed bytes", async () => {
    const verify = createVerifier({ keys: await trusted(), workload: WORKLOAD });
    const bytes = jws(HEADER);
    const arrival = await verify(bytes);
    expect(arrival).toMatchObject({
      kind: "bundle",
      bundle: { revision: 3, closed: CLOSED.closed },
    });
    expect(arrival.kind === "bundle" && arrival.bytes).toBe(bytes);
  });

  const publicPem = KEY.publicKey.export({ type: "spki", format: "pem" });
  const hmac = (input: string): Uint8Array =>
    createHmac("sha256", publicPem).update(input).digest();
  const stranger = generateKeyPairSync("ed25519");
  const signStranger = (input: string): Uint8Array =>
    signBytes(null, Buffer.from(input), stranger.privateKey);
  const own = { ...stranger.publicKey.export({ format: "jwk" }) };
  const table: readonly (readonly [string, string, Uint8Array])[] = [
    ["nothing", "bundle.malformed", new Uint8Array()],
    ["what is no JWS", "bundle.malformed", Buffer.from("a.b")],
    ["five parts, as a JWE has", "bundle.malformed", Buffer.from("a.b.c.d.e")],
    [
      "white space around it",
      "bundle.malformed",
      Buffer.from(` ${Buffer.from(jws(HEADER)).toString()}`),
    ],
    ["a header that is not JSON", "bundle.malformed", Buffer.from("AAAA.AAAA.AAAA")],
    ["more than 1 MiB", "bundle.malformed", new Uint8Array(MAX_BUNDLE_BYTES + 1)],
    ["alg none", "bundle.signature", jws({ ...HEADER, alg: "none" })],
    [
      "HMAC with the public key",
      "bundle.signature",
      jws({ ...HEADER, alg: "HS256" }, CONTENT, hmac),
    ],
    ["another algorithm", "bundle.signature", jws({ ...HEADER, alg: "ES256" })],
    ["no typ", "bundle.signature", jws({ alg: "EdDSA", kid: "k1" })],
    ["a token for another purpose", "bundle.signature", jws({ ...HEADER, typ: "JWT" })],
    ["no kid", "bundle.signature", jws({ alg: HEADER.alg, typ: HEADER.typ })],
    ["an unknown kid", "bundle.signature", jws({ ...HEADER, kid: "k2" })],
    ["a kid that is no text", "bundle.signature", jws({ ...HEADER, kid: ["k1"] })],
    ["a stranger's signature", "bundle.signature", jws(HEADER, CONTENT, signStranger)],
    [
      "a key that it brings itself",
      "bundle.signature",
      jws({ ...HEADER, jwk: own }, CONTENT, signStranger),
    ],
    ["an unknown critical extension", "bundle.signature", jws({ ...HEADER, crit: ["x"], x: 1 })],
    ["unencoded payload", "bundle.signature", jws({ ...HEADER, crit: ["b64"], b64: false })],
    ["signed content that is not JSON", "bundle.malformed", jws(HEADER, "{")],
    [
      "signed content that is not UTF-8",
      "bundle.malformed",
      jws(HEADER, new Uint8Array([0xff, 0xfe])),
    ],
    ["signed content that is no object", "bundle.malformed", jws(HEADER, "[]")],
    [
      "another namespace's workload",
      "bundle.workload",
      jws(
        HEADER,
        canonicalJson(
          sealBundle(
            { ...CLOSED, workload: { namespace: "other", name: "orders" } },
            { revision: 3, issuedAtMs: 1 },
          ),
        ),
      ),
    ],
  ];
  test.each(table)("refuses %s (%s)", async (_name, code, bytes) => {
    const verify = createVerifier({ keys: await trusted(), workload: WORKLOAD });
    const arrival = await verify(bytes);
    expect(arrival).toMatchObject({ kind: "refused", code });
    expect(arrival.kind === "refused" && arrival.detail.length).toBeLessThan(400);
  });

  test("refuses every change of a single character", async () => {
    const verify = createVerifier({ keys: await trusted(), workload: WORKLOAD });
    const bytes = jws(HEADER);
    for (let index = 0; index < bytes.length; index += 7) {
      const changed = Buffer.from(bytes);
      changed[index] = changed[index] === 65 ? 66 : 65;
      expect((await verify(changed)).kind).toBe("refused");
    }
  });
});

describe("readTrustedKeys()", () => {
  const good = { kty: "OKP", crv: "Ed25519", x: PUBLIC.x, kid: "a" };
  test.each<readonly [string, unknown]>([
    ["no object", undefined],
    ["no keys", { keys: [] }],
    ["keys that are no list", { keys: good }],
    [
      "too many keys",
      { keys: Array.from({ length: 17 }, (_, i) => ({ ...good, kid: String(i) })) },
    ],
    ["an RSA key", { keys: [{ kty: "RSA", n: "x", e: "AQAB", kid: "a" }] }],
    ["a symmetric key", { keys: [{ kty: "oct", k: "c2VjcmV0", kid: "a" }] }],
    ["another curve", { keys: [{ ...good, crv: "X25519" }] }],
    ["a private key", { keys: [{ ...KEY.privateKey.export({ format: "jwk" }), kid: "a" }] }],
    ["a key without kid", { keys: [{ ...good, kid: undefined }] }],
    ["the same kid twice", { keys: [good, good] }],
    ["a key of the wrong length", { keys: [{ ...good, x: "AAAA" }] }],
  ])("refuses %s", async (_name, value) => {
    await expect(readTrustedKeys(value)).rejects.toMatchObject({ code: "settings.invalid" });
  });

  test("never quotes a private key", async () => {
    const jwk = { ...KEY.privateKey.export({ format: "jwk" }), kid: "a" };
    const error: unknown = await readTrustedKeys({ keys: [jwk] }).catch((cause: unknown) => cause);
    expect(String(error)).not.toContain(jwk.d);
  });
});
