/** Every work through every proxy, A B C A B C, so that what else the machine does hits all of them alike. */
import { readFileSync } from "node:fs";
import { costOf } from "../../test/support/lab.ts";
import type { Row, Table } from "../report.ts";
import { quantile } from "../support/quantile.ts";
import type { Load } from "./load.ts";
import type { Subject } from "./peers.ts";
import type { Work } from "./work.ts";

export interface Measured {
  /** User and system time of the proxy's whole process. */
  readonly cpuMicros: number;
  readonly perSecond: number;
}

/** Work → proxy → one measurement per round, or why there is none. */
export type Comparison = ReadonlyMap<string, ReadonlyMap<string, readonly Measured[] | string>>;

export async function compare(options: {
  readonly subjects: readonly Subject[];
  readonly works: readonly Work[];
  readonly rounds: number;
  readonly seconds: number;
  readonly load: Load;
  readonly say: (line: string) => void;
}): Promise<Comparison> {
  const { subjects, works, load, say } = options;
  const results = new Map(
    works.map((work) => [work.name, new Map<string, Measured[] | string>()] as const),
  );
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const work of works) {
      say(`round ${round} of ${options.rounds}: ${work.name}`);
      for (const subject of subjects) {
        if (!differs(subject, work)) continue;
        const row = results.get(work.name);
        const known = row?.get(subject.name) ?? [];
        if (typeof known === "string") continue;
        try {
          known.push(await measure(subject, work, options.seconds, load));
          row?.set(subject.name, known);
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          say(`${subject.name} is left out: ${reason}`);
          row?.set(subject.name, "failed");
        }
      }
    }
  }
  return results;
}

export async function measure(
  subject: { readonly pid: number; readonly port: number },
  work: Work,
  seconds: number,
  load: Load,
): Promise<Measured> {
  const before = costOf(subject.pid).cpuSeconds;
  const { requests, perSecond } = await load.throughput(subject.port, work, seconds);
  const spent = costOf(subject.pid).cpuSeconds - before;
  return { cpuMicros: (spent / requests) * 1e6, perSecond };
}

/** A JIT compiles what runs often: nothing is measured before it has. */
export async function warm(
  subjects: readonly Subject[],
  works: readonly Work[],
  load: Load,
): Promise<void> {
  for (const work of works) {
    for (const subject of subjects) {
      if (!subject.warms || !differs(subject, work)) continue;
      // A failure is told where it is measured.
      await load.throughput(subject.port, work, 1).catch(() => undefined);
    }
  }
}

/** Whether the work tells something about this proxy that another row or column does not tell. */
function differs(subject: Subject, work: Work): boolean {
  if (work.needsIdentity) return subject.verifies;
  return !subject.variant || work.aboutTokens;
}

export function cells(comparison: Comparison, of: (measured: Measured) => number): readonly Row[] {
  return [...comparison].map(([work, row]) => ({
    name: work,
    values: Object.fromEntries(
      [...row].map(([name, measured]) => [
        name,
        typeof measured === "string" ? measured : quantile(measured.map(of), 0.5),
      ]),
    ),
  }));
}

/** Ours through each peer's, round by round; the median of the rounds. */
export function ratio(
  comparison: Comparison,
  work: string,
  ours: string,
  peer: string,
): number | undefined {
  const row = comparison.get(work);
  const mine = row?.get(ours);
  const theirs = row?.get(peer);
  if (!Array.isArray(mine) || !Array.isArray(theirs)) return undefined;
  const ratios = (mine as readonly Measured[]).map(
    ({ cpuMicros }, round) => cpuMicros / ((theirs as readonly Measured[])[round]?.cpuMicros ?? 0),
  );
  return quantile(ratios, 0.5);
}

export function comparisonTables(comparison: Comparison, ours: string): readonly Table[] {
  const peers = [...new Set([...comparison.values()].flatMap((row) => [...row.keys()]))].filter(
    (name) => name !== ours,
  );
  return [
    {
      title: "CPU per request, µs",
      note: "User and system time of the proxy's process through its requests; the median of the rounds.",
      rows: cells(comparison, ({ cpuMicros }) => cpuMicros),
    },
    {
      title: `CPU per request, ${ours} through the peer`,
      note: "Below 1, Postern costs less. A dash: the peer does not look at tokens, so the work is that of the first row.",
      rows: [...comparison.keys()].map((work) => ({
        name: work,
        values: Object.fromEntries(
          peers.flatMap((peer) => {
            const value = ratio(comparison, work, ours, peer);
            return value === undefined ? [] : [[peer, value]];
          }),
        ),
      })),
    },
    {
      title: "Requests per second",
      note: "As many as one connection after the other gives, with generator, upstream and proxy on the same cores.",
      rows: cells(comparison, ({ perSecond }) => perSecond),
    },
  ];
}

/** The most that it has held since it was started, or since `forgetPeak()`. */
export function peakMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
}
