/**
 * Counters of the sidecar in the Prometheus text format. Plain numbers on the request path; text is made only
 * when somebody asks. Label values come from closed sets of ours, so a caller cannot make the table grow.
 */
import type { DenialCode } from "../policy/denials.ts";
import type { Outcome } from "./decision-record.ts";

export type MetricType = "counter" | "gauge" | "histogram";

interface MetricRow {
  readonly type: MetricType;
  readonly labels: readonly string[];
  readonly help: string;
}

/** Every metric; the reference page is made from it. */
export const METRICS = {
  postern_requests_total: {
    type: "counter",
    labels: ["outcome", "code"],
    help: "Requests by outcome (permit, deny, failed, cut, gone) and denial code (none for a permit).",
  },
  postern_would_deny_total: {
    type: "counter",
    labels: ["code"],
    help: "Refusals that a section in mode Observe has recorded and not enforced.",
  },
  postern_requests_in_flight: {
    type: "gauge",
    labels: [],
    help: "Requests that are being decided or forwarded.",
  },
  postern_connections: { type: "gauge", labels: [], help: "Open connections of callers." },
  postern_connections_dropped_total: {
    type: "counter",
    labels: [],
    help: "Connections that were closed at once because too many are open.",
  },
  postern_decision_duration_seconds: {
    type: "histogram",
    labels: [],
    help: "From the request's head to its decision.",
  },
  postern_request_duration_seconds: {
    type: "histogram",
    labels: [],
    help: "From the request's head to the end of the answer, the application's time included.",
  },
  postern_bundle_revision: {
    type: "gauge",
    labels: [],
    help: "Revision of the bundle in force, 0 without one.",
  },
  postern_bundle_issued_timestamp_seconds: {
    type: "gauge",
    labels: [],
    help: "When the bundle in force was issued, in Unix seconds, 0 without one.",
  },
  postern_bundle_swaps_total: { type: "counter", labels: [], help: "Bundles taken into force." },
  postern_bundle_refusals_total: {
    type: "counter",
    labels: ["code"],
    help: "Published bundles that were not taken, by reason.",
  },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;
type NameOf<T extends MetricType> = {
  [N in MetricName]: (typeof METRICS)[N]["type"] extends T ? N : never;
}[MetricName];

/** Upper bounds in seconds; a sidecar's own work lies in the first half, an application's in the second. */
const BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  60,
];

export interface Metrics {
  /** One more; label values in the table's order. */
  count(name: NameOf<"counter">, ...labels: readonly string[]): void;
  observe(name: NameOf<"histogram">, seconds: number): void;
  /** Read when asked for; the last reader of a name counts. */
  gauge(name: NameOf<"gauge">, read: () => number): void;
  /** Of a counter, for tests and for the admin page. */
  value(name: NameOf<"counter">, ...labels: readonly string[]): number;
  render(): string;
}

/** The label of a request's end. */
export function countRequest(
  metrics: Metrics,
  outcome: Outcome,
  code: DenialCode | undefined,
): void {
  metrics.count("postern_requests_total", outcome, code ?? "none");
}

export function createMetrics(): Metrics {
  const counters = new Map<string, { readonly labels: readonly string[]; value: number }>();
  const gauges = new Map<string, () => number>();
  const histograms = new Map<string, { readonly counts: Float64Array; sum: number }>();
  for (const [name, row] of Object.entries(METRICS)) {
    if (row.type === "histogram") {
      histograms.set(name, { counts: new Float64Array(BOUNDS.length + 1), sum: 0 });
    }
    // A counter that never counted is a known zero, where it has no labels to choose from.
    if (row.type === "counter" && row.labels.length === 0)
      counters.set(name, { labels: [], value: 0 });
  }
  return {
    count: (name, ...labels) => {
      const key = [name, ...labels].join("\n");
      const counter = counters.get(key);
      if (counter === undefined) counters.set(key, { labels, value: 1 });
      else counter.value += 1;
    },
    observe: (name, seconds) => {
      const histogram = histograms.get(name);
      if (histogram === undefined) return;
      let bucket = 0;
      while (bucket < BOUNDS.length && seconds > (BOUNDS[bucket] ?? 0)) bucket++;
      histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
      histogram.sum += seconds;
    },
    gauge: (name, read) => {
      gauges.set(name, read);
    },
    value: (name, ...labels) => counters.get([name, ...labels].join("\n"))?.value ?? 0,
    render: () => {
      const lines: string[] = [];
      for (const [name, row] of Object.entries(METRICS)) {
        lines.push(`# HELP ${name} ${row.help}`, `# TYPE ${name} ${row.type}`);
        if (row.type === "counter") {
          for (const [key, counter] of counters) {
            if (key === name || key.startsWith(`${name}\n`)) {
              lines.push(`${name}${labelText(row.labels, counter.labels)} ${counter.value}`);
            }
          }
        } else if (row.type === "gauge") {
          const read = gauges.get(name);
          if (read !== undefined) lines.push(`${name} ${read()}`);
        } else {
          const histogram = histograms.get(name);
          if (histogram !== undefined) lines.push(...histogramLines(name, histogram));
        }
      }
      return `${lines.join("\n")}\n`;
    },
  };
}

function labelText(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return "";
  const pairs = names.map((name, index) => `${name}="${escape(values[index] ?? "")}"`);
  return `{${pairs.join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function histogramLines(
  name: string,
  { counts, sum }: { readonly counts: Float64Array; readonly sum: number },
): string[] {
  const lines: string[] = [];
  let total = 0;
  for (const [index, count] of counts.entries()) {
    total += count;
    const bound = BOUNDS[index];
    lines.push(`${name}_bucket{le="${bound === undefined ? "+Inf" : bound}"} ${total}`);
  }
  lines.push(`${name}_sum ${sum}`, `${name}_count ${total}`);
  return lines;
}
