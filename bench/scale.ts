/**
 * The controller with 1,000 policies and 1,000 pods against the real API server: what it holds, what it costs
 * while nothing happens, and how long one edit takes to be on the bus.
 */
import { waitFor } from "../test/support/wait.ts";
import type { Row } from "./report.ts";
import { costOf, openLab, pod, policyPath } from "../test/support/lab.ts";
import { quantile } from "./support/quantile.ts";

const WORKLOADS = 1_000;
const NAMESPACES = 10;
const EDITS = 10;
const IDLE_SECONDS = 20;

export async function scale(say: (line: string) => void): Promise<readonly Row[]> {
  await using lab = await openLab();
  say(`writing ${WORKLOADS} policies and pods`);
  const namespaces = Array.from({ length: NAMESPACES }, (_, index) => `scale-${index}`);
  for (const name of namespaces) {
    await lab.call("POST", "/api/v1/namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name },
    });
  }
  const began = performance.now();
  const places = Array.from({ length: WORKLOADS }, (_, index) => ({
    namespace: namespaces[index % NAMESPACES] ?? "",
    name: `w-${index}`,
  }));
  for (let from = 0; from < places.length; from += 16) {
    await Promise.all(
      places
        .slice(from, from + 16)
        .flatMap(({ namespace, name }) => [
          lab.call(
            "POST",
            `/api/v1/namespaces/${namespace}/pods`,
            pod(namespace, name, { app: name }),
          ),
          lab.call("POST", policyPath(namespace), policy(namespace, name, "/orders/{id}")),
        ]),
    );
  }
  const written = performance.now() - began;
  say("waiting until every policy is on the bus");
  await waitFor(
    "every policy is programmed",
    async () => {
      const list = (await lab.call("GET", "/apis/postern.dev/v1alpha1/apisecuritypolicies")) as {
        readonly items: readonly PolicyObject[];
      };
      return list.items.every(isProgrammed);
    },
    { withinMs: 300_000, everyMs: 1_000 },
  );
  const converged = performance.now() - began;
  const before = costOf(lab.controller.pid);
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1_000));
  const after = costOf(lab.controller.pid);

  const edits: number[] = [];
  for (let edit = 0; edit < EDITS; edit += 1) {
    const { namespace, name } = places[edit * 7] ?? { namespace: "", name: "" };
    const start = performance.now();
    await lab.call(
      "PATCH",
      policyPath(namespace, name),
      { spec: policy(namespace, name, `/orders/{id}/edit-${edit}`).spec },
      "application/merge-patch+json",
    );
    await waitFor(
      "the edit is programmed",
      async () =>
        isProgrammed((await lab.call("GET", policyPath(namespace, name))) as PolicyObject),
      { withinMs: 60_000, everyMs: 10 },
    );
    edits.push(performance.now() - start);
  }
  return [
    {
      name: "controller, 1,000 policies and 1,000 pods",
      values: {
        MiB: costOf(lab.controller.pid).residentMiB,
        "idle CPU, share of a core": (after.cpuSeconds - before.cpuSeconds) / IDLE_SECONDS,
        "s to write them all": written / 1_000,
        "s until all programmed": converged / 1_000,
        "one edit → status says programmed, p50 ms": quantile(edits, 0.5),
      },
    },
  ];
}

interface PolicyObject {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly observedGeneration: number;
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

function isProgrammed({ metadata, status }: PolicyObject): boolean {
  return (
    status?.observedGeneration === metadata.generation &&
    status.conditions.some((one) => one.type === "Programmed" && one.status === "True")
  );
}

function policy(namespace: string, name: string, path: string): { readonly spec: unknown } {
  return {
    apiVersion: "postern.dev/v1alpha1",
    kind: "ApiSecurityPolicy",
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: { app: name } },
      operations: {
        rules: [
          { name: "read", methods: ["GET"], path },
          { name: "write", methods: ["POST", "PUT"], path: "/orders" },
        ],
      },
    },
  } as { readonly spec: unknown };
}
