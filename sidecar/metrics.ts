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
  postern_http2_ended_total: {
    type: "counter",
    labels: ["reason"],
    help: "HTTP/2 connections that the sidecar has ended, and streams that it has reset for a stalled window (reason stall).",
  },
  postern_connections_refused_total: {
    type: "counter",
    labels: ["reason"],
    help: "Connections that ended before a request: proxy-header (missing or malformed), first-bytes (no whole PROXY header in time), tls-handshake, tls-overload (too many handshakes), client-certificate (does not verify).",
  },
  postern_tls_certificate_not_after_timestamp_seconds: {
    type: "gauge",
    labels: [],
    help: "When the certificate that the sidecar shows ends, in Unix seconds. Absent without TLS.",
  },
  postern_tls_reload_failures_total: {
    type: "counter",
    labels: [],
    help: "Changes of the TLS files that could not be used; those read before are kept.",
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
  postern_records_dropped_total: {
    type: "counter",
    labels: [],
    help: "Lines of the log, decision records among them, that were dropped because nobody took them in time.",
  },
  postern_tokens_remembered: {
    type: "gauge",
    labels: [],
    help: "Verified tokens that are remembered, once per layer of policy.",
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
/** Where a histogram's sum stands. */
const SUM = BOUNDS.length + 1;

export interface Metrics {
  /** One more; label values in the table's order. */
  count(name: NameOf<"counter">, first?: string, second?: string): void;
  observe(name: NameOf<"histogram">, seconds: number): void;
  /** Read when asked for; the last reader of a name counts. */
  gauge(name: NameOf<"gauge">, read: () => number): void;
  /** The same for a counter that its owner counts himself. */
  counter(name: NameOf<"counter">, read: () => number): void;
  /** Of a counter, for tests and for the admin page. */
  value(name: NameOf<"counter">, first?: string, second?: string): number;
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

/** By the first label's value, then by the second's: no key is put together to find one. */
type Series = Map<string | undefined, Map<string | undefined, Counter>>;

interface Counter {
  readonly labels: readonly string[];
  value: number;
}

interface Histogram {
  /** One per bound, one for what is above, and the sum. */
  readonly cells: Float64Array;
}

export function createMetrics(): Metrics {
  const counters = new Map<string, Series>();
  const readers = new Map<string, () => number>();
  const histograms = new Map<string, Histogram>();
  for (const [name, row] of Object.entries(METRICS)) {
    if (row.type === "histogram") {
      histograms.set(name, { cells: new Float64Array(BOUNDS.length + 2) });
    }
    if (row.type === "counter") {
      counters.set(name, new Map());
      // A counter that never counted is a known zero, where it has no labels to choose from.
      if (row.labels.length === 0) seriesOf(counters, name, undefined, undefined);
    }
  }
  return {
    count: (name, first, second) => {
      seriesOf(counters, name, first, second).value += 1;
    },
    observe: (name, seconds) => {
      const cells = histograms.get(name)?.cells;
      if (cells === undefined) return;
      let bucket = 0;
      while (bucket < BOUNDS.length && seconds > (BOUNDS[bucket] ?? 0)) bucket++;
      cells[bucket] = (cells[bucket] ?? 0) + 1;
      cells[SUM] = (cells[SUM] ?? 0) + seconds;
    },
    gauge: (name, read) => {
      readers.set(name, read);
    },
    counter: (name, read) => {
      readers.set(name, read);
    },
    value: (name, first, second) =>
      readers.get(name)?.() ?? counters.get(name)?.get(first)?.get(second)?.value ?? 0,
    render: () => {
      const lines: string[] = [];
      for (const [name, row] of Object.entries(METRICS)) {
        lines.push(`# HELP ${name} ${row.help}`, `# TYPE ${name} ${row.type}`);
        const read = readers.get(name);
        const histogram = histograms.get(name);
        if (read !== undefined) lines.push(`${name} ${read()}`);
        else if (histogram !== undefined) lines.push(...histogramLines(name, histogram));
        else {
          for (const series of counters.get(name)?.values() ?? []) {
            for (const { labels, value } of series.values()) {
              lines.push(`${name}${labelText(row.labels, labels)} ${value}`);
            }
          }
        }
      }
      return `${lines.join("\n")}\n`;
    },
  };
}

function seriesOf(
  counters: ReadonlyMap<string, Series>,
  name: string,
  first: string | undefined,
  second: string | undefined,
): Counter {
  const series = counters.get(name);
  if (series === undefined) throw new TypeError(`There is no counter "${name}"`);
  let bySecond = series.get(first);
  if (bySecond === undefined) series.set(first, (bySecond = new Map()));
  let counter = bySecond.get(second);
  if (counter === undefined) {
    const labels = [first, second].filter((label) => label !== undefined);
    bySecond.set(second, (counter = { labels, value: 0 }));
  }
  return counter;
}

function labelText(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return "";
  const pairs = names.map((name, index) => `${name}="${escape(values[index] ?? "")}"`);
  return `{${pairs.join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function histogramLines(name: string, { cells }: Histogram): string[] {
  const lines: string[] = [];
  let total = 0;
  for (const [index, count] of cells.subarray(0, SUM).entries()) {
    total += count;
    const bound = BOUNDS[index];
    lines.push(`${name}_bucket{le="${bound === undefined ? "+Inf" : bound}"} ${total}`);
  }
  lines.push(`${name}_sum ${cells[SUM]}`, `${name}_count ${total}`);
  return lines;
}
