/**
 * The input of `compile()`: one immutable snapshot of all that decides what is enforced, from whatever
 * source (API server or files). References are already resolved; see `keySources()`.
 */
import type { PublicJwk, WorkloadRef } from "./bundle.ts";
import type { ClusterPolicySpec, PolicySpec } from "./api/policy.ts";

export type Labels = Readonly<Record<string, string>>;

export interface PolicyMetadata {
  readonly name: string;
  readonly generation: number;
}

export interface NamespacedPolicy {
  readonly kind: "ApiSecurityPolicy";
  readonly metadata: PolicyMetadata & { readonly namespace: string };
  readonly spec: PolicySpec;
}

export interface ClusterPolicy {
  readonly kind: "ClusterApiSecurityPolicy";
  readonly metadata: PolicyMetadata;
  readonly spec: ClusterPolicySpec;
}

export type Policy = NamespacedPolicy | ClusterPolicy;

/** The part of a spec that says which workloads a policy is about. */
export type PolicyTarget = Pick<PolicySpec, "selector" | "targetRefs"> &
  Partial<Pick<ClusterPolicySpec, "namespaceSelector">>;

/** A policy object that got past admission and is not of the schema: closes everything that it may cover. */
export interface UnreadablePolicy {
  readonly kind: Policy["kind"];
  readonly metadata: PolicyMetadata & { readonly namespace?: string };
  /** Which workloads it closes. Absent: that cannot be read either, so all of its namespace (or cluster). */
  readonly target?: PolicyTarget;
  /** Sentences that name the field, worst first; never empty. */
  readonly problems: readonly string[];
}

export interface Namespace {
  readonly name: string;
  readonly labels: Labels;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** Empty: the service selects nothing (its endpoints are managed by hand). */
  readonly selector: Labels;
}

export interface Workload extends WorkloadRef {
  /** The pods' labels, less the hash labels. */
  readonly labels: Labels;
  /** Pods that carry a sidecar, by name, sorted. */
  readonly pods: readonly string[];
}

/** Where keys come from; two equal sources have one `keySourceId()`. */
export type KeySource =
  | { readonly kind: "uri"; readonly uri: string }
  | { readonly kind: "discovery"; readonly issuer: string }
  | {
      readonly kind: "secret" | "configMap";
      readonly namespace: string;
      readonly name: string;
      readonly key: string;
    };

/** "No keys" and "could not get the keys" are different: an empty set is `known` and refuses as unknown key. */
export type KeyResolution =
  | { readonly kind: "known"; readonly jwks: readonly PublicJwk[] }
  | { readonly kind: "unavailable"; readonly reason: string };

export interface Resources {
  readonly policies: readonly Policy[];
  readonly unreadable: readonly UnreadablePolicy[];
  readonly namespaces: readonly Namespace[];
  readonly services: readonly Service[];
  readonly workloads: readonly Workload[];
  /** By `keySourceId()`. A source that is missing here counts as unavailable. */
  readonly keys: ReadonlyMap<string, KeyResolution>;
}
