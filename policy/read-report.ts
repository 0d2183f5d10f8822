/** A sidecar's report, from the bytes of whoever could publish: strict, bounded, undefined for anything else. */
import { policyRef, workloadRef } from "./bundle-schema.ts";
import type { RefusalCode, SidecarReport } from "./report.ts";
import { integer, listOf, object, oneOf, optional, string } from "./schema/schema.ts";
import type { Infer } from "./schema/schema.ts";
import { validate } from "./schema/validate.ts";

const REFUSAL_CODES = [
  "bundle.malformed",
  "bundle.signature",
  "bundle.replayed",
  "bundle.workload",
  "bundle.version",
  "bundle.unknown",
  "bundle.digest",
  "bundle.stale",
] as const satisfies readonly RefusalCode[];

const whole = integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const name = string({ minLength: 1, maxLength: 253 });

const report = object({
  workload: workloadRef,
  pod: name,
  state: oneOf(["waiting", "current", "stale", "leaving"]),
  enforced: optional(
    object({
      revision: whole,
      digest: string({ maxLength: 128 }),
      policies: listOf(policyRef, { maxItems: 10_000 }),
      sinceMs: whole,
    }),
  ),
  refused: optional(
    object({
      code: oneOf(REFUSAL_CODES),
      detail: string({ maxLength: 4096 }),
      revision: optional(whole),
    }),
  ),
  version: name,
  sentAtMs: whole,
});

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
/** Does not compile when the schema and the declared type part. */
export const SCHEMA_IS_TYPE: Same<Infer<typeof report>, SidecarReport> = true;

export function readReport(value: unknown): SidecarReport | undefined {
  const reading = validate(report, value, "");
  return reading.kind === "value" ? reading.value : undefined;
}
