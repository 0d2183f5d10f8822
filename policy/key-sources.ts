/** Where the keys of policies come from: what the controller has to fetch before it can compile. */
import type { ProviderSpec } from "./api/authentication.ts";
import type { KeySource, Policy } from "./resources.ts";

/** Each source once, in the order of first mention. Inline keys need no fetching and are not here. */
export function keySources(policies: readonly Policy[]): readonly KeySource[] {
  const sources = new Map<string, KeySource>();
  for (const policy of policies) {
    const namespace = policy.kind === "ApiSecurityPolicy" ? policy.metadata.namespace : undefined;
    for (const provider of policy.spec.authentication?.providers ?? []) {
      const source = keySourceOf(provider, namespace);
      if (source !== undefined) sources.set(keySourceId(source), source);
    }
  }
  return [...sources.values()];
}

/** Unambiguous: neither a URL nor a Kubernetes name can imitate another kind's prefix. */
export function keySourceId(source: KeySource): string {
  switch (source.kind) {
    case "uri":
      return `uri:${source.uri}`;
    case "discovery":
      return `discovery:${source.issuer}`;
    case "secret":
    case "configMap":
      return `${source.kind}:${source.namespace}/${source.name}/${source.key}`;
  }
}

/** Undefined for inline keys, and for a reference in a policy without a namespace (the schema refuses it). */
export function keySourceOf(
  { jwt: { issuer, jwks } }: ProviderSpec,
  namespace: string | undefined,
): KeySource | undefined {
  if (jwks.uri !== undefined) return { kind: "uri", uri: jwks.uri };
  if (jwks.discovery !== undefined) return { kind: "discovery", issuer };
  if (namespace === undefined) return undefined;
  if (jwks.secretRef !== undefined) return { kind: "secret", namespace, ...jwks.secretRef };
  if (jwks.configMapRef !== undefined)
    return { kind: "configMap", namespace, ...jwks.configMapRef };
  return undefined;
}
