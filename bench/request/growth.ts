/** How our cost grows with the work: operations, header fields, sizes of answers, connections, one very large body. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { costOf } from "../../test/support/lab.ts";
import { waitFor } from "../../test/support/wait.ts";
import type { Row, Table } from "../report.ts";
import { quantile } from "../support/quantile.ts";
import { measure, peakMiB } from "./compare.ts";
import type { Measured } from "./compare.ts";
import type { Load } from "./load.ts";
import type { Subject } from "./peers.ts";
import { ANSWERS_KIB } from "./upstream.ts";
import type { Work, Works } from "./work.ts";

export interface Growth {
  readonly tables: readonly Table[];
  /** Cost with the most operations through cost with one. */
  readonly operations: number;
  readonly idleConnectionKb: number;
  /** While it carries a body of 100 MB. */
  readonly largeBodyMiB: number;
}

interface Step {
  readonly label: string;
  readonly subject: Subject;
  readonly work: Work;
}

export async function growth(options: {
  readonly subject: Subject;
  /** One whose heap no crowd has filled yet, for what a connection holds. */
  readonly fresh: Subject;
  /** Sidecars that differ in the number of operations; the first has the fewest. */
  readonly byOperations: ReadonlyMap<number, Subject>;
  readonly works: Works;
  readonly rounds: number;
  readonly load: Load;
  readonly say: (line: string) => void;
}): Promise<Growth> {
  const { subject, works, load, say, rounds } = options;
  const run = (what: string, steps: readonly Step[]) => {
    say(`growth with ${what}`);
    return inRounds(steps, rounds, load);
  };
  const operations = await run(
    "operations",
    [...options.byOperations].map(([count, one]) => ({
      label: `${count} operation${count === 1 ? "" : "s"}`,
      subject: one,
      work: works.get,
    })),
  );
  const headers = await run(
    "header fields",
    [5, 20, 50].map((count) => step(subject, works.headers(count))),
  );
  const answers = await run(
    "answers",
    ANSWERS_KIB.map((kib) => step(subject, works.download(kib))),
  );
  const connections = await run(
    "connections",
    [32, 1_000, busyConnections()].map((count) => step(subject, works.connections(count))),
  );
  say("10,000 connections that idle, and one body of 100 MB");
  const largeBodyMiB = await largeBody(options.fresh, works.post(100 * 1_048_576, 1), load);
  const idle = await idleConnections(options.fresh, works.get, load);
  const per = (sentence: string): string =>
    `CPU per request, requests per second, and the cost through that of the table's first row. ${sentence}`;
  return {
    tables: [
      table("Growth with operations", per("Sidecars of their own, in turn."), operations),
      table("Growth with header fields", per("In the request."), headers),
      table("Growth with answers", per("Eight connections."), answers),
      table(
        "Growth with connections",
        per(
          `One request in flight on each, and each may need a connection to the application: ${openFiles()} open files per process are allowed here.`,
        ),
        connections,
      ),
      {
        title: "Memory",
        rows: [
          {
            name: `${idle.opened} idle connections`,
            values: { "KB each": idle.kbEach, "wrong answers": String(idle.wrong) },
          },
          { name: "a body of 100 MB, streamed", values: { "extra MiB": largeBodyMiB } },
        ],
      },
    ],
    operations: ratioToFirst(operations.at(-1)?.[1], operations[0]?.[1]),
    idleConnectionKb: idle.kbEach,
    largeBodyMiB,
  };
}

/** 10,000, or as many as this machine lets a process open twice. */
function busyConnections(): number {
  return Math.min(10_000, Math.floor((openFiles() - 1_000) / 2_000) * 1_000);
}

function openFiles(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
}

function step(subject: Subject, work: Work): Step {
  return { label: work.name, subject, work };
}

type Steps = readonly (readonly [string, readonly Measured[] | string])[];

async function inRounds(steps: readonly Step[], rounds: number, load: Load): Promise<Steps> {
  const results = new Map<string, Measured[] | string>();
  for (let round = 0; round < rounds; round += 1) {
    for (const { label, subject, work } of steps) {
      const known = results.get(label) ?? [];
      if (typeof known === "string") continue;
      try {
        // Thousands of connections are opened within the measured time.
        const seconds = work.connections > 1_000 ? 3 : 1;
        known.push(await measure(subject, work, seconds, load));
        results.set(label, known);
        // What thousands of callers have asked for is still worked on when they are gone.
        if (work.connections > 1_000) await settled(subject.pid);
      } catch (error) {
        results.set(label, error instanceof Error ? error.message : String(error));
      }
    }
  }
  return [...results];
}

function table(title: string, note: string, steps: Steps): Table {
  const rows: readonly Row[] = steps.map(([name, measured]) => ({
    name,
    values:
      typeof measured === "string"
        ? { "CPU µs/request": measured }
        : {
            "CPU µs/request": quantile(
              measured.map(({ cpuMicros }) => cpuMicros),
              0.5,
            ),
            "requests/s": quantile(
              measured.map(({ perSecond }) => perSecond),
              0.5,
            ),
            ratio: ratioToFirst(measured, steps[0]?.[1]),
          },
  }));
  return { title, note, rows };
}

function ratioToFirst(
  measured: readonly Measured[] | string | undefined,
  first: readonly Measured[] | string | undefined,
): number {
  if (typeof measured === "string" || typeof first === "string") return Number.NaN;
  const ratios = (measured ?? []).map(
    ({ cpuMicros }, round) => cpuMicros / (first?.[round]?.cpuMicros ?? Number.NaN),
  );
  return quantile(ratios, 0.5);
}

async function idleConnections(subject: Subject, work: Work, load: Load) {
  const order = {
    kind: "hold",
    port: subject.port,
    requests: work.requests,
    statuses: [work.status],
  } as const;
  await settled(subject.pid);
  const before = costOf(subject.pid).residentMiB;
  const { answered, wrong } = await load.run({ ...order, connections: 10_000 });
  const after = costOf(subject.pid).residentMiB;
  await load.run({ ...order, connections: 0 });
  await settled(subject.pid);
  return { opened: answered, wrong, kbEach: ((after - before) * 1_024) / answered };
}

/** Connections of what was measured before are closed a little later. */
async function settled(pid: number): Promise<void> {
  await waitFor(
    "connections of the last measurement are closed",
    () => readdirSync(`/proc/${pid}/fd`).length < 500,
    { withinMs: 60_000, everyMs: 50 },
  );
}

async function largeBody(subject: Subject, work: Work, load: Load): Promise<number> {
  writeFileSync(`/proc/${subject.pid}/clear_refs`, "5"); // the peak counts from here
  const before = costOf(subject.pid).residentMiB;
  await load.run({
    kind: "closed",
    port: subject.port,
    requests: work.requests,
    statuses: [work.status],
    connections: 1,
    seconds: 1,
  });
  return peakMiB(subject.pid) - before;
}
