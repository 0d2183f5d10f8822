/** The controller's own numbers in Prometheus' text format; documented in docs/reference/metrics.md. */
import type { Reconciled } from "./reconcile.ts";
import type { SidecarStates } from "./sidecars.ts";

export interface MetricsInput {
  readonly latest: Reconciled | undefined;
  readonly reconcile: { readonly passes: number; readonly lastMs: number };
  readonly publish: {
    readonly published: number;
    readonly failed: number;
    readonly removed: number;
  };
  readonly status: { readonly writes: number; readonly failures: number };
  readonly sidecars: { readonly reports: number; readonly ignored: number };
  readonly states: SidecarStates;
  readonly keys: { readonly known: number; readonly unavailable: number; readonly fetches: number };
  readonly busConnected: boolean;
  /** By loop. */
  readonly failures: ReadonlyMap<string, number>;
}

type Samples = readonly (readonly [labels: string, value: number])[];

export function renderMetrics(input: MetricsInput): string {
  const { latest, reconcile, publish, status, sidecars, keys } = input;
  const states = { reporting: 0, lost: 0, starting: 0, leaving: 0 };
  for (const { kind } of input.states.values()) states[kind] += 1;
  return [
    gauge("policies", "Policies that are followed", [
      ['{readable="true"}', latest?.snapshot.policies.length ?? 0],
      ['{readable="false"}', latest?.snapshot.unreadable.length ?? 0],
    ]),
    gauge("workloads", "Workloads with a sidecar", [["", latest?.snapshot.workloads.length ?? 0]]),
    gauge("sidecars", "Pods with a sidecar, by what is known of it", labelled("state", states)),
    gauge("key_sources", "Sources of keys", [
      ['{state="known"}', keys.known],
      ['{state="unavailable"}', keys.unavailable],
    ]),
    gauge("bus_connected", "Whether the bus is connected", [["", input.busConnected ? 1 : 0]]),
    gauge("reconcile_last_seconds", "Duration of the last pass", [["", reconcile.lastMs / 1_000]]),
    counter("reconcile_passes", "Passes over all policies", [["", reconcile.passes]]),
    counter(
      "loop_failures",
      "Unexpected failures, by loop",
      [...input.failures].map(([loop, count]) => [`{loop="${loop}"}`, count] as const),
    ),
    counter("bundles_published", "Bundles put on the bus", [["", publish.published]]),
    counter("bundles_failed", "Bundles that could not be put on the bus", [["", publish.failed]]),
    counter("bundles_removed", "Bundles removed from the bus", [["", publish.removed]]),
    counter("status_writes", "Statuses written", [["", status.writes]]),
    counter("status_failures", "Statuses that could not be written", [["", status.failures]]),
    counter("sidecar_reports", "Reports of sidecars", [
      ['{outcome="taken"}', sidecars.reports],
      ['{outcome="ignored"}', sidecars.ignored],
    ]),
    counter("key_fetches", "Attempts to fetch keys", [["", keys.fetches]]),
  ].join("");
}

function gauge(name: string, help: string, samples: Samples): string {
  return family(`postern_controller_${name}`, "gauge", help, samples);
}

function counter(name: string, help: string, samples: Samples): string {
  return family(`postern_controller_${name}_total`, "counter", help, samples);
}

function family(name: string, type: string, help: string, samples: Samples): string {
  const lines = samples.map(([labels, value]) => `${name}${labels} ${value}\n`);
  return `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function labelled(label: string, values: Readonly<Record<string, number>>): Samples {
  return Object.entries(values).map(([value, count]) => [`{${label}="${value}"}`, count]);
}
