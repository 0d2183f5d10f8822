/**
 * From bytes that anybody could have put on the bus or the disk to a bundle that may be enforced. In order of
 * trust: size, signature by a key that Kubernetes gave us, then content. Never throws: what is wrong is a
 * refusal with a code, and the bundle in force stays.
 */
import { compactVerify, decodeProtectedHeader, errors } from "jose";
import type { WorkloadRef } from "../../policy/bundle.ts";
import { BUNDLE_JWS_ALGORITHM, BUNDLE_JWS_TYPE } from "../../policy/contract.ts";
import { readBundle } from "../../policy/read-bundle.ts";
import type { RefusalCode } from "../../policy/report.ts";
import { describe } from "../../runtime/error.ts";
import type { Arrival } from "./source.ts";
import type { TrustedKeys } from "./trusted-keys.ts";

/** NATS's default limit of a message. */
export const MAX_BUNDLE_BYTES = 1024 * 1024;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export type Verify = (bytes: Uint8Array) => Promise<Arrival>;

export function createVerifier(options: {
  readonly keys: Pick<TrustedKeys, "get">;
  readonly workload: WorkloadRef;
}): Verify {
  return async (bytes) => {
    if (bytes.length > MAX_BUNDLE_BYTES) {
      return refused(
        "bundle.malformed",
        `The bundle must have at most ${MAX_BUNDLE_BYTES} bytes, current size is ${bytes.length}`,
      );
    }
    const payload = await payloadOf(bytes, options.keys);
    if (payload instanceof Uint8Array) return contentOf(payload, bytes, options.workload);
    return payload;
  };
}

async function payloadOf(
  bytes: Uint8Array,
  keys: Pick<TrustedKeys, "get">,
): Promise<Uint8Array | Arrival> {
  // Latin-1 cannot fail, and what is not ASCII does not have the form.
  const jws = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  if (!COMPACT_JWS.test(jws)) {
    return refused("bundle.malformed", "The bundle is not a compact JWS");
  }
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(jws);
  } catch (cause) {
    return refused("bundle.malformed", `The JWS header is not JSON: ${describe(cause)}`);
  }
  const { typ, alg, kid, crit } = header;
  if (typ !== BUNDLE_JWS_TYPE) {
    return refused("bundle.signature", `JWS typ: must be ${BUNDLE_JWS_TYPE}, found ${say(typ)}`);
  }
  if (alg !== BUNDLE_JWS_ALGORITHM) {
    return refused(
      "bundle.signature",
      `JWS alg: must be ${BUNDLE_JWS_ALGORITHM}, found ${say(alg)}`,
    );
  }
  // We never sign with an extension (RFC 7515 §4.1.11), not even with one that the library knows.
  if (crit !== undefined) {
    return refused("bundle.signature", `JWS crit: must be absent, found ${say(crit)}`);
  }
  const key = typeof kid === "string" ? keys.get(kid) : undefined;
  if (key === undefined) {
    return refused("bundle.signature", `JWS kid: ${say(kid)} is not among the trusted keys`);
  }
  try {
    // The key is ours: `jwk`, `jku` and `x5u` in the header are never looked at.
    const verified = await compactVerify(jws, key, { algorithms: [BUNDLE_JWS_ALGORITHM] });
    return verified.payload;
  } catch (cause) {
    const what =
      cause instanceof errors.JWSSignatureVerificationFailed
        ? `The signature does not verify with key ${say(kid)}`
        : `The JWS cannot be verified: ${describe(cause)}`;
    return refused("bundle.signature", what);
  }
}

function contentOf(payload: Uint8Array, bytes: Uint8Array, mine: WorkloadRef): Arrival {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (cause) {
    return refused("bundle.malformed", `The signed content is not JSON: ${describe(cause)}`);
  }
  const reading = readBundle(value);
  if (reading.kind === "refused") return reading;
  const { bundle } = reading;
  if (bundle.workload.namespace !== mine.namespace || bundle.workload.name !== mine.name) {
    return refused(
      "bundle.workload",
      `workload: must be ${mine.namespace}/${mine.name}, found ${bundle.workload.namespace}/${bundle.workload.name}`,
      bundle.revision,
    );
  }
  return { kind: "bundle", bundle, bytes };
}

function refused(code: RefusalCode, detail: string, revision?: number): Arrival {
  return { kind: "refused", code, detail, ...(revision === undefined ? {} : { revision }) };
}

/** Of an attacker's choosing, hence bounded. */
function say(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value).slice(0, 80);
}
