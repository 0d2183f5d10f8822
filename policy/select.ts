/**
 * Which workloads a policy is about. Label selectors match as in Kubernetes. Where it cannot be told whether a
 * policy covers a workload, it does: a layer too many only refuses more.
 */
import type { LabelSelector } from "./api/common.ts";
import type { Tier } from "./bundle.ts";
import type {
  Labels,
  Namespace,
  Policy,
  PolicyTarget,
  Resources,
  Service,
  UnreadablePolicy,
  Workload,
} from "./resources.ts";

export interface Selection {
  readonly workloads: readonly Workload[];
  /** `spec.targetRefs[i]`, with what is wrong with it. */
  readonly missing: readonly { readonly index: number; readonly message: string }[];
}

/** Built once per compilation, so that a policy looks at its candidates and not at the whole cluster. */
export interface SelectionIndex {
  readonly namespaces: ReadonlyMap<string, NamespaceIndex>;
}

interface NamespaceIndex {
  /** Undefined: the namespace object has not been seen (yet). */
  readonly labels: Labels | undefined;
  readonly workloads: readonly Workload[];
  /** `key=value` → the workloads that carry the label. */
  readonly byLabel: ReadonlyMap<string, readonly Workload[]>;
  readonly services: ReadonlyMap<string, Service>;
}

interface Building {
  labels: Labels | undefined;
  readonly workloads: Workload[];
  readonly byLabel: Map<string, Workload[]>;
  readonly services: Map<string, Service>;
}

export function indexResources({
  namespaces,
  services,
  workloads,
}: Pick<Resources, "namespaces" | "services" | "workloads">): SelectionIndex {
  const index = new Map<string, Building>();
  const at = (name: string): Building => {
    let entry = index.get(name);
    if (entry === undefined) {
      entry = { labels: undefined, workloads: [], byLabel: new Map(), services: new Map() };
      index.set(name, entry);
    }
    return entry;
  };
  for (const { name, labels } of namespaces) at(name).labels = namespaceLabels({ name, labels });
  for (const service of services) at(service.namespace).services.set(service.name, service);
  for (const workload of workloads) {
    const entry = at(workload.namespace);
    entry.workloads.push(workload);
    for (const key of Object.keys(workload.labels)) {
      const label = `${key}=${workload.labels[key]}`;
      const carriers = entry.byLabel.get(label);
      if (carriers === undefined) entry.byLabel.set(label, [workload]);
      else carriers.push(workload);
    }
  }
  return { namespaces: index };
}

/** Every workload at most once, in no particular order. */
export function selectWorkloads(
  policy: Policy | UnreadablePolicy,
  index: SelectionIndex,
): Selection {
  const target = "spec" in policy ? policy.spec : policy.target;
  if (policy.kind === "ApiSecurityPolicy") {
    const { namespace } = policy.metadata as { readonly namespace: string };
    const entry = index.namespaces.get(namespace);
    return selectAmong(target, entry === undefined ? [] : [entry], `namespace "${namespace}"`);
  }
  const selector =
    target !== undefined && "namespaceSelector" in target ? target.namespaceSelector : undefined;
  const entries = [...index.namespaces.values()].filter(
    ({ labels }) => labels === undefined || selector === undefined || matches(selector, labels),
  );
  return selectAmong(target, entries, "any selected namespace");
}

export function tierOf(policy: Policy | UnreadablePolicy): Tier {
  if (policy.kind === "ClusterApiSecurityPolicy") return "cluster";
  const target = "spec" in policy ? policy.spec : policy.target;
  if (target === undefined) return "namespace";
  return target.selector !== undefined && isEmpty(target.selector) ? "namespace" : "workload";
}

export const TIERS: readonly Tier[] = ["cluster", "namespace", "workload"];

export function matches({ matchLabels, matchExpressions }: LabelSelector, labels: Labels): boolean {
  for (const key of Object.keys(matchLabels ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== matchLabels?.[key]) return false;
  }
  return (matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
    }
  });
}

function selectAmong(
  target: PolicyTarget | undefined,
  entries: readonly NamespaceIndex[],
  where: string,
): Selection {
  if (target === undefined) {
    return { workloads: entries.flatMap(({ workloads }) => workloads), missing: [] };
  }
  const { selector, targetRefs } = target;
  if (selector !== undefined) {
    return { workloads: entries.flatMap((entry) => selectIn(entry, selector)), missing: [] };
  }
  const workloads = new Set<Workload>();
  const missing: { index: number; message: string }[] = [];
  for (const [index, { name }] of (targetRefs ?? []).entries()) {
    const services = entries.flatMap((entry) => {
      const service = entry.services.get(name);
      return service === undefined ? [] : [{ entry, selector: service.selector }];
    });
    const selecting = services.filter((service) => Object.keys(service.selector).length > 0);
    if (services.length === 0) {
      missing.push({ index, message: `there is no Service "${name}" in ${where}` });
    } else if (selecting.length === 0) {
      missing.push({ index, message: `the Service "${name}" has no selector, so it has no pods` });
    }
    for (const { entry, selector: matchLabels } of selecting) {
      for (const workload of selectIn(entry, { matchLabels })) workloads.add(workload);
    }
  }
  return { workloads: [...workloads], missing };
}

/** Starts from the rarest label that must be there. */
function selectIn(entry: NamespaceIndex, selector: LabelSelector): readonly Workload[] {
  if (isEmpty(selector)) return entry.workloads;
  let candidates = entry.workloads;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    const carriers = entry.byLabel.get(`${key}=${value}`) ?? [];
    if (carriers.length < candidates.length) candidates = carriers;
  }
  return candidates.filter(({ labels }) => matches(selector, labels));
}

function isEmpty({ matchLabels, matchExpressions }: LabelSelector): boolean {
  return Object.keys(matchLabels ?? {}).length === 0 && (matchExpressions ?? []).length === 0;
}

/** The API server sets this label on every namespace; files need not. */
function namespaceLabels({ name, labels }: Namespace): Labels {
  return { "kubernetes.io/metadata.name": name, ...labels };
}
