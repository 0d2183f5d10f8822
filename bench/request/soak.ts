/**
 * `npm run bench -- request --soak MINUTES`: mixed load at some 70 % of what it can, callers that hang up in flight,
 * and every ten seconds what the sidecar holds. Ends with a verdict on memory, sockets and answers.
 */
import { readdirSync } from "node:fs";
import { costOf } from "../../test/support/lab.ts";
import { quantile } from "../support/quantile.ts";
import { openStage } from "./request.ts";
import { createWorks } from "./work.ts";

const EVERY_S = 10;
const SHARE = 0.7;
/** A heap breathes; this much more at the end than after the first third is a leak. */
const ALLOWED_GROWTH = 0.05;
const ALLOWED_GROWTH_MIB = 4;

/** The pool of connections to the application differs by a few from moment to moment. */
const ALLOWED_FILES = 16;

/** Resolves with whether it held. */
export async function soak(minutes: number, say: (line: string) => void): Promise<boolean> {
  await using stage = await openStage(say);
  await using postern = await stage.startPostern(50);
  const works = createWorks(stage.site.identity);
  const mixed = [
    ...works.all.flatMap(({ requests }) => requests.slice(0, 20)),
    ...Array.from({ length: 40 }, () => works.get.requests[0] ?? Buffer.alloc(0)),
  ].filter(({ length }) => length < 100_000);
  const order = {
    port: postern.port,
    requests: mixed,
    statuses: [200, 401],
    connections: 64,
  } as const;
  const most = await stage.load.run({ ...order, kind: "closed", seconds: 5 });
  const perSecond = Math.floor((most.answered / most.seconds) * SHARE);
  const socketsBefore = await idleFiles(postern.pid);
  say(`soak: ${minutes} minutes at ${perSecond} requests/s, 5 of 1,000 aborted in flight`);
  const samples: number[] = [];
  let wrong = 0;
  for (let step = 1; step <= Math.max(3, (minutes * 60) / EVERY_S); step += 1) {
    const cpu = costOf(postern.pid).cpuSeconds;
    const outcome = await stage.load.run({
      ...order,
      kind: "open",
      perSecond,
      seconds: EVERY_S,
      abortedPerMille: 5,
      countOnly: true,
    });
    wrong += outcome.wrong;
    const { residentMiB, cpuSeconds } = costOf(postern.pid);
    samples.push(residentMiB);
    say(
      `${step * EVERY_S} s: ${residentMiB.toFixed(1)} MiB, ` +
        `${(((cpuSeconds - cpu) / outcome.answered) * 1e6).toFixed(0)} µs/request, ` +
        `${outcome.answered} answers, ${outcome.aborted} aborted, ${outcome.wrong} wrong`,
    );
  }
  const { flat, sentence } = memoryVerdict(samples);
  say(sentence);
  const leaked = (await idleFiles(postern.pid)) - socketsBefore;
  say(`files left open by its callers: ${leaked}; wrong answers: ${wrong}`);
  return flat && leaked <= ALLOWED_FILES && wrong === 0;
}

/** Open files with no caller: the fewest within two seconds, since connections close a little after their callers do. */
async function idleFiles(pid: number): Promise<number> {
  let fewest = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 20; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    fewest = Math.min(fewest, readdirSync(`/proc/${pid}/fd`).length);
  }
  return fewest;
}

/** The last third against the middle one: the first is warming up. */
export function memoryVerdict(samples: readonly number[]): {
  readonly flat: boolean;
  readonly sentence: string;
} {
  const third = Math.max(1, Math.floor(samples.length / 3));
  const middle = quantile(samples.slice(third, 2 * third), 0.5);
  const last = quantile(samples.slice(-third), 0.5);
  const grown = last - middle;
  const flat = grown <= Math.max(ALLOWED_GROWTH_MIB, middle * ALLOWED_GROWTH);
  const change = `${grown >= 0 ? "+" : ""}${grown.toFixed(1)} MiB`;
  return {
    flat,
    sentence: `memory is ${flat ? "flat" : "NOT flat"}: ${middle.toFixed(1)} MiB in the middle third, ${change} in the last`,
  };
}
