/** Secrets and ConfigMaps in files: what a policy's `secretRef` or `configMapRef` finds there, and nothing else of them. */
import type { Material } from "../../controller/cluster.ts";
import { keySourceId } from "../../policy/key-sources.ts";
import type { Issue } from "../../policy/read-policy.ts";
import { isObject } from "../../policy/schema/validate.ts";

export type { Material } from "../../controller/cluster.ts";

export type MaterialReading =
  | {
      readonly kind: "material";
      /** `Secret/shop/keys`. */
      readonly id: string;
      /** By `keySourceId()`. */
      readonly material: ReadonlyMap<string, Material>;
    }
  | {
      readonly kind: "invalid";
      readonly issues: readonly Issue[];
      readonly unreadable?: undefined;
    };

type Fields = Readonly<Record<string, unknown>>;

/** `object` is a v1 Secret or ConfigMap. */
export function readMaterial(object: Fields, defaultNamespace: string): MaterialReading {
  const issues: Issue[] = [];
  const metadata = isObject(object["metadata"]) ? object["metadata"] : {};
  const name = metadata["name"];
  const namespace = metadata["namespace"] ?? defaultNamespace;
  if (typeof name !== "string" || name === "") {
    issues.push({ path: "metadata.name", message: "Required value: a string is missing" });
  }
  if (typeof namespace !== "string") {
    issues.push({ path: "metadata.namespace", message: "Invalid value: a string is required" });
  }
  const isSecret = object["kind"] === "Secret";
  const texts = new Map<string, string>();
  readField(object, "data", isSecret, texts, issues);
  // As the API server does: stringData wins over data.
  if (isSecret) readField(object, "stringData", false, texts, issues);
  if (issues.length > 0 || typeof name !== "string" || typeof namespace !== "string") {
    return { kind: "invalid", issues };
  }
  const material = new Map<string, Material>();
  for (const [key, text] of texts) {
    const kind = isSecret ? "secret" : "configMap";
    material.set(keySourceId({ kind, namespace, name, key }), { kind: "text", text });
  }
  return { kind: "material", id: `${String(object["kind"])}/${namespace}/${name}`, material };
}

function readField(
  object: Fields,
  field: "data" | "stringData",
  isBase64: boolean,
  texts: Map<string, string>,
  issues: Issue[],
): void {
  const data = object[field];
  if (data === undefined || data === null) return;
  if (!isObject(data)) {
    issues.push({ path: field, message: "Invalid value: an object is required" });
    return;
  }
  for (const [key, value] of Object.entries(data)) {
    const path = `${field}.${key}`;
    if (typeof value !== "string") {
      issues.push({ path, message: "Invalid value: a string is required" });
    } else if (!isBase64) {
      texts.set(key, value);
    } else if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)) {
      texts.set(key, Buffer.from(value, "base64").toString("utf8"));
    } else {
      const message = "Invalid value: base64 is required (stringData takes plain text)";
      issues.push({ path, message });
    }
  }
}
