/**
 * One policy → its layer, which is the same for every workload that it selects. What cannot be compiled closes
 * this layer and no other. Remembered per policy object, so that a change of one policy costs one compilation.
 */
import type { BundleLayer, PolicyRef } from "./bundle.ts";
import { compileAuthentication } from "./compile-authentication.ts";
import type { KeyLookup } from "./compile-authentication.ts";
import { compileOperations } from "./compile-operations.ts";
import { compileTransport } from "./compile-transport.ts";
import { policyRef } from "./policy-id.ts";
import { compareProblems, problem, problemText } from "./problems.ts";
import type { Problem } from "./problems.ts";
import { policyId } from "./policy-id.ts";
import type { KeyResolution, Policy, UnreadablePolicy } from "./resources.ts";
import { tierOf } from "./select.ts";

export interface CompiledLayer {
  readonly layer: BundleLayer;
  readonly problems: readonly Problem[];
}

interface Remembered extends CompiledLayer {
  readonly used: readonly { readonly id: string; readonly keys: KeyResolution | undefined }[];
}

const remembered = new WeakMap<Policy | UnreadablePolicy, Remembered>();

/** The detail is for logs and status; a longer one helps nobody. */
const MAX_DETAIL = 1024;

export function compileLayer(
  policy: Policy | UnreadablePolicy,
  keys: ReadonlyMap<string, KeyResolution>,
): CompiledLayer {
  const known = remembered.get(policy);
  if (known?.used.every((x) => keys.get(x.id) === x.keys) === true) return known;
  const used: { id: string; keys: KeyResolution | undefined }[] = [];
  const compiled =
    "spec" in policy
      ? compilePolicy(policy, (id) => {
          const resolution = keys.get(id);
          used.push({ id, keys: resolution });
          return resolution;
        })
      : compileUnreadable(policy);
  const result = { ...compiled, used };
  remembered.set(policy, result);
  return result;
}

function compilePolicy(policy: Policy, keys: KeyLookup): CompiledLayer {
  const ref = policyRef(policy);
  const { spec } = policy;
  const head = { policy: ref, tier: tierOf(policy) };
  const transport =
    spec.transport === undefined ? undefined : compileTransport(ref, spec.transport, spec.mode);
  const authentication =
    spec.authentication === undefined
      ? undefined
      : compileAuthentication(ref, spec.authentication, spec.mode, keys);
  const operations =
    spec.operations === undefined
      ? undefined
      : compileOperations(
          ref,
          spec.operations,
          spec.mode,
          spec.authentication?.providers.map(({ name }) => name),
        );
  const sectionless: readonly Problem[] =
    transport === undefined && authentication === undefined && operations === undefined
      ? [problem(ref, "Invalid", "spec", "the policy has no section")]
      : [];
  const fatal = [
    ...sectionless,
    ...(transport?.problems ?? []),
    ...(operations?.problems ?? []),
  ].sort(compareProblems);
  const problems = [...fatal, ...(authentication?.problems ?? [])];
  const first = fatal[0];
  if (first !== undefined) return { layer: closedLayer(head, problemText(first)), problems };
  return {
    layer: {
      ...head,
      ...(transport === undefined ? {} : { transport: transport.transport }),
      ...(authentication === undefined ? {} : { authentication: authentication.authentication }),
      ...(operations === undefined ? {} : { operations: operations.operations }),
    },
    problems,
  };
}

function compileUnreadable(policy: UnreadablePolicy): CompiledLayer {
  const ref = policyRef(policy);
  const problems = policy.problems.map((message) => problem(ref, "Invalid", "", message));
  const detail = policy.problems[0] ?? "the policy cannot be read";
  return { layer: closedLayer({ policy: ref, tier: tierOf(policy) }, detail), problems };
}

function closedLayer(
  head: { readonly policy: PolicyRef; readonly tier: BundleLayer["tier"] },
  why: string,
): BundleLayer {
  const detail = `${policyId(head.policy)}: ${why}`.slice(0, MAX_DETAIL);
  return { ...head, closed: { code: "policy.invalid", detail: detail.toWellFormed() } };
}
