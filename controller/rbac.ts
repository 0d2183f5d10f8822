/**
 * What the controller may do in a cluster, and nothing more: the chart is made from this list, and the
 * scenarios run the controller with exactly these rights, so a missing one fails a test.
 */

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const FOLLOW = ["get", "list", "watch"];

/** In the whole cluster. */
export const CLUSTER_RULES: readonly Rule[] = [
  {
    apiGroups: ["postern.dev"],
    resources: ["apisecuritypolicies", "clusterapisecuritypolicies"],
    verbs: FOLLOW,
  },
  // Status only: the controller never writes what an author has written.
  {
    apiGroups: ["postern.dev"],
    resources: ["apisecuritypolicies/status", "clusterapisecuritypolicies/status"],
    verbs: ["patch"],
  },
  { apiGroups: [""], resources: ["namespaces", "services", "pods"], verbs: FOLLOW },
  // Read one by one, by name, when a policy refers to them; which ones cannot be known beforehand.
  { apiGroups: [""], resources: ["secrets", "configmaps"], verbs: FOLLOW },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
];

/** In the controller's own namespace: the signing key and its public half. */
export const NAMESPACE_RULES: readonly Rule[] = [
  // A name cannot restrict "create".
  { apiGroups: [""], resources: ["secrets", "configmaps"], verbs: ["create"] },
  {
    apiGroups: [""],
    resources: ["configmaps"],
    resourceNames: ["postern-bundle-keys"],
    verbs: ["get", "patch"],
  },
];

export function clusterRole(name: string): object {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name },
    rules: CLUSTER_RULES,
  };
}

export function namespaceRole(name: string, namespace: string): object {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: { name, namespace },
    rules: NAMESPACE_RULES,
  };
}
