/**
 * The only way back into the type `Bundle`. Strict: an unknown field or value refuses the whole bundle, because
 * a sidecar that ignored it would enforce less than was meant. Never throws.
 */
import { SCHEMA_VERSION } from "./bundle.ts";
import type { Bundle } from "./bundle.ts";
import { bundleSchema } from "./bundle-schema.ts";
import { digestOf } from "./encode.ts";
import type { RefusalCode } from "./report.ts";
import { isObject, issueText, validate } from "./schema/validate.ts";

export type BundleReading =
  | { readonly kind: "bundle"; readonly bundle: Bundle }
  | {
      readonly kind: "refused";
      readonly code: RefusalCode;
      /** What and where, for the operator. */
      readonly detail: string;
      /** Where it could be read. */
      readonly revision?: number;
    };

export function readBundle(value: unknown): BundleReading {
  if (!isObject(value)) {
    return { kind: "refused", code: "bundle.malformed", detail: "The bundle is not a JSON object" };
  }
  const revision = Number.isSafeInteger(value["revision"])
    ? { revision: value["revision"] as number }
    : {};
  const refuse = (code: RefusalCode, detail: string): BundleReading => ({
    kind: "refused",
    code,
    detail,
    ...revision,
  });

  const version = value["schemaVersion"];
  if (typeof version !== "number" || !Number.isSafeInteger(version)) {
    return refuse("bundle.malformed", "schemaVersion: an integer is required");
  }
  if (version !== SCHEMA_VERSION) {
    return refuse(
      "bundle.version",
      `schemaVersion: found ${version}, this sidecar knows ${SCHEMA_VERSION}: update the sidecar or the controller`,
    );
  }
  const reading = validate(bundleSchema, value, "");
  if (reading.kind === "invalid") {
    return refuse("bundle.unknown", reading.issues.slice(0, 3).map(issueText).join("; "));
  }
  const bundle: Bundle = { ...reading.value, schemaVersion: SCHEMA_VERSION };
  const digest = digestOf(bundle);
  if (digest !== bundle.digest) {
    return refuse("bundle.digest", `digest: found ${bundle.digest}, the content has ${digest}`);
  }
  return { kind: "bundle", bundle };
}
