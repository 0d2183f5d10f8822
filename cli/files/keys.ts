/** Keys that stand in the given files themselves (Secrets, ConfigMaps): resolved without the network. */
import { keySourceId, keySources } from "../../policy/key-sources.ts";
import { readJwks } from "../../policy/public-jwk.ts";
import type { KeyResolution, KeySource, Policy } from "../../policy/resources.ts";
import type { Material } from "./material.ts";

export interface FileKeys {
  /** By `keySourceId()`. */
  readonly keys: ReadonlyMap<string, KeyResolution>;
  /** What only the network can tell. */
  readonly remote: readonly KeySource[];
}

export function fileKeys(
  policies: readonly Policy[],
  material: ReadonlyMap<string, Material>,
): FileKeys {
  const keys = new Map<string, KeyResolution>();
  const remote: KeySource[] = [];
  for (const source of keySources(policies)) {
    if (source.kind === "uri" || source.kind === "discovery") remote.push(source);
    else keys.set(keySourceId(source), resolve(source, material.get(keySourceId(source))));
  }
  return { keys, remote };
}

function resolve(
  source: Extract<KeySource, { readonly namespace: string }>,
  material: Material | undefined,
): KeyResolution {
  const kind = source.kind === "secret" ? "Secret" : "ConfigMap";
  const where = `${kind} ${source.namespace}/${source.name}`;
  if (material === undefined) {
    const reason = `the given files hold no ${where} with the key "${source.key}"`;
    return { kind: "unavailable", reason };
  }
  if (material.kind === "unavailable") return material;
  const reading = readJwks(material.text);
  return reading.kind === "keys"
    ? { kind: "known", jwks: reading.jwks }
    : { kind: "unavailable", reason: `${where}, key "${source.key}": ${reading.message}` };
}
