/** The kinds of policy that exist: one row each, of which CRDs, reference page and `readPolicy()` are made. */
import type { Schema } from "../schema/schema.ts";
import { clusterPolicySpec, policySpec } from "./policy.ts";

export const GROUP = "postern.dev";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}`;

export interface Kind {
  readonly kind: "ApiSecurityPolicy" | "ClusterApiSecurityPolicy";
  readonly plural: string;
  readonly shortName: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly description: string;
  readonly spec: Schema<unknown>;
}

export const KINDS: readonly Kind[] = [
  {
    kind: "ApiSecurityPolicy",
    plural: "apisecuritypolicies",
    shortName: "asp",
    scope: "Namespaced",
    description:
      "What callers of some workloads of this namespace must prove and may call. All policies that select a workload hold together: each can only tighten.",
    spec: policySpec,
  },
  {
    kind: "ClusterApiSecurityPolicy",
    plural: "clusterapisecuritypolicies",
    shortName: "casp",
    scope: "Cluster",
    description:
      "What callers of workloads in many namespaces must prove and may call, beneath every policy of the namespaces themselves.",
    spec: clusterPolicySpec,
  },
];
