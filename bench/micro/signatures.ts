/** Verifying in the thread of the event loop beside WebCrypto, which hands the work to another one. */
import { generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { importJWK } from "jose";
import { compactVerify } from "jose/jws/compact/verify";
import type { SignatureAlgorithm } from "../../policy/bundle.ts";
import { verifySignature, verifyingKey } from "../../sidecar/authentication/signature.ts";
import { encode } from "../../test/support/tokens.ts";
import type { Row } from "../report.ts";
import { costOfWaiting } from "./measure.ts";

interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const CASES: readonly (readonly [string, SignatureAlgorithm, () => Pair])[] = [
  ["RS256, 2,048 bits", "RS256", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
  ["RS256, 4,096 bits", "RS256", () => generateKeyPairSync("rsa", { modulusLength: 4096 })],
  ["ES256", "ES256", () => generateKeyPairSync("ec", { namedCurve: "P-256" })],
  ["ES384", "ES384", () => generateKeyPairSync("ec", { namedCurve: "P-384" })],
  ["ES512", "ES512", () => generateKeyPairSync("ec", { namedCurve: "P-521" })],
  ["EdDSA", "EdDSA", () => generateKeyPairSync("ed25519")],
];

export async function signatureRows(): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const [name, algorithm, pair] of CASES) {
    const { privateKey, publicKey } = pair();
    const input = `${encode({ alg: algorithm })}.${encode({ sub: "alice", scope: "orders:read" })}`;
    const bytes = Buffer.from(input);
    const hash = algorithm === "EdDSA" ? undefined : `sha${algorithm.slice(2)}`;
    const signature = sign(hash, bytes, { key: privateKey, dsaEncoding: "ieee-p1363" });
    const key = verifyingKey(algorithm, publicKey);
    const jwk = await importJWK(publicKey.export({ format: "jwk" }), algorithm);
    const text = `${input}.${signature.toString("base64url")}`;
    const ours = await costOfWaiting(async () => verifySignature(key, bytes, signature));
    const web = await costOfWaiting(() => compactVerify(text, jwk, { algorithms: [algorithm] }));
    rows.push({
      name: `${name}${key.isSlow ? ", in another thread" : ""}`,
      values: {
        µs: ours.micros,
        "CPU µs": ours.cpuMicros,
        "through WebCrypto, µs": web.micros,
        "through WebCrypto, CPU µs": web.cpuMicros,
      },
    });
  }
  return rows;
}
