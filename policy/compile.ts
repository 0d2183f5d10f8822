/**
 * Resources → one bundle per workload, and what is wrong with each policy. Pure and deterministic: the same
 * resources, in whatever order, give the same bytes. Adding a policy only ever adds a layer, so only tightens.
 */
import type { BundleContent, BundleLayer, WorkloadRef } from "./bundle.ts";
import { closed } from "./closed.ts";
import { compileLayer } from "./compile-layer.ts";
import type { CompiledLayer } from "./compile-layer.ts";
import { bundleKey } from "./contract.ts";
import { policyId, policyRef } from "./policy-id.ts";
import { compareProblems, compareText, problem } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { KeyResolution, Policy, Resources, UnreadablePolicy, Workload } from "./resources.ts";
import { indexResources, selectWorkloads, TIERS, tierOf } from "./select.ts";
import type { Selection } from "./select.ts";

export interface Compiled {
  /** By `bundleKey()`, sorted; one for every workload. */
  readonly bundles: ReadonlyMap<string, BundleContent>;
  /** Sorted by policy; see `acceptedCondition()`. */
  readonly problems: readonly Problem[];
  /** By `policyId()`: the sorted bundle keys of the workloads that the policy selects. Has every policy. */
  readonly selections: ReadonlyMap<string, readonly string[]>;
}

type AnyPolicy = Policy | UnreadablePolicy;

export function compile(resources: Resources): Compiled {
  const index = indexResources(resources);
  const layers = new Map<Workload, BundleLayer[]>();
  const selections = new Map<string, readonly string[]>();
  const problems: Problem[] = [];

  for (const policy of inLayerOrder([...resources.policies, ...resources.unreadable])) {
    const compiled = compileLayer(policy, resources.keys);
    const selection = selectWorkloads(policy, index);
    problems.push(...compiled.problems, ...selectionProblems(policy, selection));
    selections.set(
      policyId(policyRef(policy)),
      selection.workloads.map(bundleKey).sort(compareText),
    );
    for (const workload of selection.workloads) {
      const list = layers.get(workload);
      if (list === undefined) layers.set(workload, [compiled.layer]);
      else list.push(compiled.layer);
    }
  }

  const bundles = resources.workloads
    .map((workload) => ({
      key: bundleKey(workload),
      content: contentOf(workload, layers.get(workload) ?? []),
    }))
    .sort((a, b) => compareText(a.key, b.key));
  return {
    bundles: new Map(bundles.map(({ key, content }) => [key, content])),
    problems: problems.sort(compareProblems),
    selections,
  };
}

/** For `postern run`: one workload to which every given policy applies, whatever it selects. */
export function compileFor(
  workload: WorkloadRef,
  {
    policies,
    unreadable,
    keys,
  }: {
    readonly policies: readonly Policy[];
    readonly unreadable: readonly UnreadablePolicy[];
    readonly keys: ReadonlyMap<string, KeyResolution>;
  },
): { readonly content: BundleContent; readonly problems: readonly Problem[] } {
  const compiled = inLayerOrder([...policies, ...unreadable]).map((policy): CompiledLayer =>
    compileLayer(policy, keys),
  );
  return {
    content: contentOf(
      workload,
      compiled.map(({ layer }) => layer),
    ),
    problems: compiled.flatMap(({ problems }) => problems).sort(compareProblems),
  };
}

/** Widest first, then by namespace and name: the order of the layers in every bundle. */
function inLayerOrder(policies: readonly AnyPolicy[]): readonly AnyPolicy[] {
  return policies
    .map((policy) => {
      const { namespace = "", name } = policyRef(policy);
      // A space sorts before everything that a name can contain.
      return { policy, key: `${TIERS.indexOf(tierOf(policy))} ${namespace} ${name}` };
    })
    .sort((a, b) => compareText(a.key, b.key))
    .map(({ policy }) => policy);
}

/** By the narrowest layer: what was compiled with it, by bundle key. Goes when the policy goes. */
const contents = new WeakMap<BundleLayer, Map<string, BundleContent>>();
/** Beyond, all are forgotten: workloads that are gone leave their entries behind. */
const MAX_REMEMBERED = 10_000;

/** The very same object while nothing changes, so that its digest is computed once. */
function contentOf(workload: WorkloadRef, layers: readonly BundleLayer[]): BundleContent {
  const { namespace, name } = workload;
  const narrowest = layers.at(-1);
  if (narrowest === undefined) {
    return closed(workload, "policy.none", `No policy selects the workload ${namespace}/${name}`);
  }
  const known = contents.get(narrowest) ?? new Map<string, BundleContent>();
  const key = bundleKey(workload);
  const previous = known.get(key);
  if (previous !== undefined && sameItems(previous.layers, layers)) return previous;
  const content = {
    workload: { namespace, name },
    policies: layers.map(({ policy }) => policy),
    layers,
  };
  if (known.size >= MAX_REMEMBERED) known.clear();
  known.set(key, content);
  contents.set(narrowest, known);
  return content;
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function selectionProblems(policy: AnyPolicy, { workloads, missing }: Selection): Problem[] {
  const ref = policyRef(policy);
  const problems = missing.map(({ index, message }) =>
    problem(ref, "TargetNotFound", `spec.targetRefs[${index}].name`, message),
  );
  if (workloads.length === 0 && problems.length === 0) {
    problems.push(
      problem(ref, "NothingSelected", "", "no pod that carries a sidecar matches this policy"),
    );
  }
  return problems;
}
