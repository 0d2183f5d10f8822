/** A policy's spec → the content of the bundle that a controller would publish for one workload. */
import type { WorkloadRef } from "../../policy/bundle.ts";
import { compile } from "../../policy/compile.ts";
import { bundleKey } from "../../policy/contract.ts";
import { readPolicy } from "../../policy/read-policy.ts";
import type { Policy } from "../../policy/resources.ts";

type ApiSecurityPolicy = Extract<Policy, { readonly kind: "ApiSecurityPolicy" }>;

export interface OrdersSpec {
  readonly authentication: object;
  readonly operations: { readonly rules: readonly object[] };
}

/** One policy may have so many rules. A bundle may have more, and a sidecar has to be as fast with them. */
const MAX_RULES = 128;

export function compiledContent(workload: WorkloadRef, spec: OrdersSpec) {
  const labels = { app: workload.name };
  const { bundles } = compile({
    policies: [policyOf(workload, spec)],
    unreadable: [],
    namespaces: [{ name: workload.namespace, labels: {} }],
    services: [],
    workloads: [{ ...workload, labels, pods: [`${workload.name}-0`] }],
    keys: new Map(),
  });
  const compiled = bundles.get(bundleKey(workload));
  if (compiled === undefined) throw new Error("The workload has no bundle");
  return compiled;
}

function policyOf(workload: WorkloadRef, spec: OrdersSpec): Policy {
  const policies: ApiSecurityPolicy[] = [];
  const { rules } = spec.operations;
  for (let from = 0; from < rules.length; from += MAX_RULES) {
    const reading = readPolicy({
      apiVersion: "postern.dev/v1alpha1",
      kind: "ApiSecurityPolicy",
      metadata: { name: workload.name, namespace: workload.namespace },
      spec: {
        selector: { matchLabels: { app: workload.name } },
        ...spec,
        operations: { rules: rules.slice(from, from + MAX_RULES) },
      },
    });
    if (reading.kind === "invalid") throw new Error(JSON.stringify(reading.issues));
    if (reading.policy.kind === "ApiSecurityPolicy") policies.push(reading.policy);
  }
  const [first] = policies;
  if (first?.spec.operations === undefined) throw new Error("The policy has no rules");
  const all = policies.flatMap((policy) => policy.spec.operations?.rules ?? []);
  return {
    ...first,
    spec: { ...first.spec, operations: { ...first.spec.operations, rules: all } },
  };
}
