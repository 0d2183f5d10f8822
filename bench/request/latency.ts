/** Latency at fixed rates, whatever the proxy does, and what a swap of the policy does to it. */
import { costOf } from "../../test/support/lab.ts";
import type { Row, Table } from "../report.ts";
import { quantile } from "../support/quantile.ts";
import type { Load } from "./load.ts";
import type { Subject } from "./peers.ts";
import type { Work } from "./work.ts";

export interface Latencies {
  readonly name: string;
  readonly perSecond: number;
  readonly sorted: Float64Array;
  /** Round by round, each sorted. */
  readonly rounds: readonly Float64Array[];
  readonly wrong: number;
  readonly cpuMicros: number | undefined;
}

export async function latencies(options: {
  readonly subjects: readonly Subject[];
  readonly upstreamPort: number;
  readonly work: Work;
  /** Requests per second, and for how long. */
  readonly rates: readonly { readonly perSecond: number; readonly seconds: number }[];
  readonly rounds: number;
  readonly load: Load;
  readonly say: (line: string) => void;
}): Promise<readonly Latencies[]> {
  const { load, work, say, rounds } = options;
  const targets = [
    { name: DIRECT, port: options.upstreamPort, pid: undefined },
    ...options.subjects.map(({ name, port, pid }) => ({ name, port, pid })),
  ];
  const results: Latencies[] = [];
  for (const { perSecond, seconds } of options.rates) {
    const all = new Map<string, { rounds: Float64Array[]; wrong: number; cpu: number[] }>();
    for (let round = 1; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}: latency at ${perSecond} requests/s`);
      for (const { name, port, pid } of targets) {
        const into = all.get(name) ?? { rounds: [], wrong: 0, cpu: [] };
        all.set(name, into);
        const before = pid === undefined ? 0 : costOf(pid).cpuSeconds;
        const outcome = await load.run({
          ...order(port, work),
          perSecond,
          seconds,
        });
        if (pid !== undefined) {
          into.cpu.push(((costOf(pid).cpuSeconds - before) / outcome.answered) * 1e6);
        }
        into.rounds.push(outcome.latenciesMs.toSorted());
        into.wrong += outcome.wrong;
      }
    }
    for (const [name, { rounds, wrong, cpu }] of all) {
      const cpuMicros = cpu.length === 0 ? undefined : quantile(cpu, 0.5);
      const sorted = Float64Array.from(rounds.flatMap((one) => [...one])).toSorted();
      results.push({ name, perSecond, sorted, rounds, wrong, cpuMicros });
    }
  }
  return results;
}

/** Without a proxy. */
const DIRECT = "the upstream alone";

function order(port: number, work: Work) {
  return {
    kind: "open",
    port,
    requests: work.requests,
    statuses: [work.status],
    connections: work.connections,
  } as const;
}

export function at(sorted: Float64Array, q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

/** What the proxy adds to a quantile: through it, less without it in the same round; the median of the rounds. */
export function added(
  all: readonly Latencies[],
  name: string,
  perSecond: number,
  q: number,
): number {
  const roundsOf = (wanted: string): readonly number[] =>
    all
      .filter((one) => one.name === wanted && one.perSecond === perSecond)
      .flatMap(({ rounds }) => rounds.map((sorted) => at(sorted, q)));
  const direct = roundsOf(DIRECT);
  const differences = roundsOf(name).map((value, round) => value - (direct[round] ?? Number.NaN));
  return quantile(differences, 0.5);
}

/** The upstream's own, the worst of the rounds: what the machine adds, whoever is measured. */
export function directly(all: readonly Latencies[], perSecond: number, q: number): number {
  const direct = all.find((one) => one.name === DIRECT && one.perSecond === perSecond);
  return Math.max(...(direct?.rounds ?? []).map((sorted) => at(sorted, q)));
}

export function latencyTables(all: readonly Latencies[]): readonly Table[] {
  const rates = [...new Set(all.map(({ perSecond }) => perSecond))];
  return rates.map((perSecond) => ({
    title: `Latency at ${perSecond} requests/s, ms`,
    note: "From when a request was due to the last byte of its answer, also when no connection was free for it. `added` is less the upstream's own.",
    rows: all
      .filter((one) => one.perSecond === perSecond)
      .map(({ name, sorted, wrong, cpuMicros }) => ({
        name,
        values: {
          p50: at(sorted, 0.5),
          p90: at(sorted, 0.9),
          p99: at(sorted, 0.99),
          "p99.9": at(sorted, 0.999),
          max: at(sorted, 1),
          ...(name !== DIRECT && {
            "added p50": added(all, name, perSecond, 0.5),
            "added p99": added(all, name, perSecond, 0.99),
          }),
          ...(cpuMicros !== undefined && { "CPU µs/request": cpuMicros }),
          "wrong answers": String(wrong),
        },
      })),
  }));
}

export interface SwapResult {
  readonly swaps: number;
  readonly wrong: number;
  readonly maxMs: number;
  readonly quietMaxMs: number;
  readonly row: readonly Row[];
}

/** The same load twice: left alone, and with a new policy every 100 ms. */
export async function swaps(options: {
  readonly subject: Subject;
  readonly work: Work;
  readonly seconds: number;
  readonly load: Load;
  readonly publish: (revision: number) => Promise<void>;
}): Promise<SwapResult> {
  const { subject, work, seconds, load } = options;
  const paced = { ...order(subject.port, work), perSecond: 1_000, seconds };
  const quiet = await load.run(paced);
  let revision = 1;
  const ended = new AbortController();
  const swapping = (async () => {
    while (!ended.signal.aborted) {
      revision += 1;
      await options.publish(revision);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const busy = await load.run(paced);
  ended.abort();
  await swapping;
  const shown = [
    { name: "left alone", outcome: quiet, times: 0 },
    { name: "policy swapped every 100 ms", outcome: busy, times: revision - 1 },
  ].map(({ name, outcome, times }) => {
    const sorted = outcome.latenciesMs.toSorted();
    return {
      name,
      values: {
        swaps: String(times),
        "wrong answers": String(outcome.wrong),
        "p50 ms": at(sorted, 0.5),
        "p99 ms": at(sorted, 0.99),
        "p99.9 ms": at(sorted, 0.999),
        "max ms": at(sorted, 1),
      },
    };
  });
  return {
    swaps: revision - 1,
    wrong: busy.wrong,
    maxMs: Math.max(...busy.latenciesMs),
    quietMaxMs: Math.max(...quiet.latenciesMs),
    row: shown,
  };
}
