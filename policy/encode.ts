/**
 * Canonical bytes and digests: equal values have equal bytes (RFC 8785: sorted keys, no white space), on every
 * machine and after every round trip. The one place in policy/ that computes a hash.
 */
import { hash } from "node:crypto";
import { SCHEMA_VERSION } from "./bundle.ts";
import type { Bundle, BundleContent } from "./bundle.ts";

/** Fields that are undefined count as absent. Throws TypeError for what JSON cannot carry unchanged. */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) {
        throw new TypeError("Cannot encode the string: it has a lone surrogate");
      }
      return JSON.stringify(value);
    case "boolean":
      return String(value);
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`Cannot encode the number: ${value}`);
      return JSON.stringify(value);
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
      return encodeObject(value as Readonly<Record<string, unknown>>);
    case "bigint":
    case "function":
    case "symbol":
    case "undefined":
      throw new TypeError(`Cannot encode a value of type ${typeof value}`);
  }
}

export function sha256Hex(text: string): string {
  return hash("sha256", text, "hex");
}

const digests = new WeakMap<BundleContent, string>();

/** `sha256:<hex>` over the content alone, so that a bundle and what it was sealed from have one digest. */
export function digestOf(content: BundleContent): string {
  let digest = digests.get(content);
  if (digest === undefined) {
    const { workload, policies, layers, closed } = content;
    digest = `sha256:${sha256Hex(canonicalJson({ workload, policies, layers, closed }))}`;
    digests.set(content, digest);
  }
  return digest;
}

export function sealBundle(
  content: BundleContent,
  envelope: { readonly revision: number; readonly issuedAtMs: number },
): Bundle {
  const { workload, policies, layers, closed } = content;
  return {
    schemaVersion: SCHEMA_VERSION,
    revision: envelope.revision,
    issuedAtMs: envelope.issuedAtMs,
    digest: digestOf(content),
    workload,
    policies,
    layers,
    ...(closed === undefined ? {} : { closed }),
  };
}

function encodeObject(value: Readonly<Record<string, unknown>>): string {
  const members = Object.keys(value)
    .sort()
    .filter((key) => value[key] !== undefined)
    .map((key) => `${canonicalJson(key)}:${canonicalJson(value[key])}`);
  return `{${members.join(",")}}`;
}
