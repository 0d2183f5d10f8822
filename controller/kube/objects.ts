/** Objects of the API server → the few fields of them that we keep. */
import { bundleKey, SIDECAR_LABEL, SIDECAR_LABEL_VALUE } from "../../policy/contract.ts";
import { readPolicy } from "../../policy/read-policy.ts";
import type { Kind } from "../../policy/api/kinds.ts";
import { API_VERSION } from "../../policy/api/kinds.ts";
import type {
  Labels,
  Namespace,
  Policy,
  Service,
  UnreadablePolicy,
  Workload,
} from "../../policy/resources.ts";
import type { PolicyStatus } from "../../policy/status.ts";
import { workloadLabels, workloadName } from "../../policy/workload-name.ts";
import { describe } from "../../runtime/error.ts";
import type { KubeObject } from "./client.ts";

/** Only metadata crosses the wire: pods are large, and there are many. */
export const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

export const POD_QUERY = {
  labelSelector: `${SIDECAR_LABEL}=${SIDECAR_LABEL_VALUE}`,
  // Pods that have ended carry no sidecar any more; the API server tells when one does.
  fieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
};

export interface KeptPolicy {
  readonly uid: string | undefined;
  readonly generation: number;
  readonly policy:
    | { readonly kind: "policy"; readonly policy: Policy }
    | { readonly kind: "unreadable"; readonly unreadable: UnreadablePolicy };
  readonly status: PolicyStatus | undefined;
}

export interface KeptPod {
  readonly namespace: string;
  readonly name: string;
  readonly workload: string;
  readonly labels: Labels;
}

/**
 * Never throws: a policy that cannot be read must not be forgotten, it closes what it may cover. Of the same
 * generation it stays the very same object, so that what was compiled from it is remembered.
 */
export function keepPolicy(kind: Kind, object: KubeObject, before?: KeptPolicy): KeptPolicy {
  const { metadata } = object;
  const generation = metadata.generation ?? 1;
  if (before !== undefined && before.uid === metadata.uid && before.generation === generation) {
    return { ...before, status: readStatus(object["status"]) };
  }
  const common = {
    uid: metadata.uid,
    generation,
    status: readStatus(object["status"]),
  };
  const fallback = (problem: string): KeptPolicy => ({
    ...common,
    policy: {
      kind: "unreadable",
      unreadable: {
        kind: kind.kind,
        metadata: {
          name: metadata.name,
          generation,
          ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        },
        problems: [problem],
      },
    },
  });
  try {
    const { spec } = object;
    const reading = readPolicy({ apiVersion: API_VERSION, kind: kind.kind, metadata, spec });
    if (reading.kind === "policy") return { ...common, policy: reading };
    return reading.unreadable === undefined
      ? fallback("the policy cannot be read")
      : { ...common, policy: { kind: "unreadable", unreadable: reading.unreadable } };
  } catch (error) {
    return fallback(`the policy cannot be read: ${describe(error)}`);
  }
}

/** Undefined when the pod terminates: its sidecar drains, and counts no more. */
export function keepPod({ metadata }: KubeObject): KeptPod | undefined {
  if (metadata.deletionTimestamp !== undefined) return undefined;
  const labels = workloadLabels(metadata.labels ?? {});
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    workload: workloadName(labels),
    labels,
  };
}

export function keepNamespace({ metadata }: KubeObject): Namespace {
  return { name: metadata.name, labels: metadata.labels ?? {} };
}

export function keepService({ metadata, ...fields }: KubeObject): Service {
  const spec = fields["spec"] as { readonly selector?: Labels } | undefined;
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    selector: spec?.selector ?? {},
  };
}

/**
 * Sorted, pods and workloads: the same cluster gives the same value. A workload that did not change stays the
 * very same object.
 */
export function workloadsOf(pods: Iterable<KeptPod>, before: readonly Workload[]): Workload[] {
  const known = new Map(before.map((workload) => [bundleKey(workload), workload]));
  const found = new Map<string, { readonly first: KeptPod; readonly names: string[] }>();
  for (const pod of pods) {
    const key = `${pod.namespace}/${pod.workload}`;
    const group = found.get(key);
    if (group === undefined) found.set(key, { first: pod, names: [pod.name] });
    else group.names.push(pod.name);
  }
  return [...found.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { first, names }]) => {
      const { namespace, workload: name, labels } = first;
      const workload: Workload = { namespace, name, labels, pods: names.sort() };
      const same = known.get(bundleKey(workload));
      return same !== undefined && sameJson(same, workload) ? same : workload;
    });
}

/** Whether two values are the same to the last member; for small values. */
export function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The schema of the CRD guards it; what is not there counts as not written yet. */
function readStatus(status: unknown): PolicyStatus | undefined {
  const { observedGeneration, conditions, workloads, sidecars } = (status ??
    {}) as Partial<PolicyStatus>;
  if (observedGeneration === undefined || conditions === undefined) return undefined;
  return { observedGeneration, conditions, workloads: workloads ?? [], sidecars: sidecars ?? "" };
}
