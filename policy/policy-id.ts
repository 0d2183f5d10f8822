/** How a policy is named in maps, logs and messages: `ApiSecurityPolicy/shop/orders`, `ClusterApiSecurityPolicy/baseline`. */
import type { PolicyRef } from "./bundle.ts";
import type { Policy, UnreadablePolicy } from "./resources.ts";

export function policyId({ kind, namespace, name }: Omit<PolicyRef, "generation">): string {
  return namespace === undefined ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

export function policyRef({
  kind,
  metadata,
}: Pick<Policy | UnreadablePolicy, "kind" | "metadata">): PolicyRef {
  const { name, generation } = metadata;
  return "namespace" in metadata && metadata.namespace !== undefined
    ? { kind, namespace: metadata.namespace, name, generation }
    : { kind, name, generation };
}
