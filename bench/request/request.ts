/**
 * `npm run bench -- request`: one sidecar beside nginx, HAProxy, Envoy and Node gateways, in one run, with the same
 * requests to the same upstream. What cannot be had is named. Bounded in count and time: about five minutes, half
 * a minute with `quick`.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkloadRef } from "../../policy/bundle.ts";
import { costOf } from "../../test/support/lab.ts";
import type { Table } from "../report.ts";
import { openControl } from "../support/control.ts";
import type { Control } from "../support/control.ts";
import { compare, comparisonTables, ratio, warm } from "./compare.ts";
import type { Comparison } from "./compare.ts";
import type { Growth } from "./growth.ts";
import { growth } from "./growth.ts";
import { added, directly, latencies, latencyTables, swaps } from "./latency.ts";
import type { Latencies, SwapResult } from "./latency.ts";
import { openLoad } from "./load.ts";
import type { Load } from "./load.ts";
import { PEERS, obtainPrograms, programOf, serves, startPeer, titleOf } from "./peers.ts";
import type { PeerName, Site, Subject } from "./peers.ts";
import { orderPolicy } from "./policy.ts";
import { targetTable } from "./targets.ts";
import { startUpstream } from "./upstream.ts";
import { createIdentity, createWorks } from "./work.ts";

export interface RequestOptions {
  /** Fewer peers, one round, no growth: for the time between two edits. Nothing is written. */
  readonly quick: boolean;
  readonly say: (line: string) => void;
}

const POSTERN = "Postern";
const OPERATIONS = 50;
const QUICK_PEERS: readonly PeerName[] = ["nginx", "haproxy-jwt", "gateway"];

/** Everything that stands while it is measured. */
export interface Stage extends AsyncDisposable {
  readonly site: Site;
  readonly control: Control;
  readonly load: Load;
  readonly upstreamBy: string;
  /** A sidecar that serves by a policy with so many operations. */
  startPostern(operations: number): Promise<Subject & { readonly workload: WorkloadRef }>;
}

export async function request({ quick, say }: RequestOptions): Promise<readonly Table[]> {
  const [busy = Number.NaN] = loadavg();
  await using stage = await openStage(say);
  const { site, load, control } = stage;
  await using running = new AsyncDisposableStack();
  say(`upstream: ${stage.upstreamBy}; throughput by ${load.throughputBy}`);
  const postern = running.use(await stage.startPostern(OPERATIONS));
  const peers: Subject[] = [];
  const missing: { readonly name: PeerName; readonly title: string }[] = [];
  const names = quick ? QUICK_PEERS : (Object.keys(PEERS) as readonly PeerName[]);
  for (const name of names) {
    const peer = await startPeer(name, site);
    if (peer !== undefined) peers.push(running.use(peer));
    else missing.push({ name, title: titleOf(name, site) });
  }
  const subjects: readonly Subject[] = [postern, ...peers];
  say(`beside each other: ${subjects.map(({ name }) => name).join("; ")}`);
  if (missing.length > 0) {
    say(`not to be had here, so left out: ${missing.map(({ title }) => title).join("; ")}`);
  }
  const idle = residentOf(subjects);

  const works = createWorks(site.identity);
  const chosen = quick ? [works.get, works.post(65_536)] : works.all;
  say("warming up");
  await warm(subjects, [works.get, works.post(65_536)], load);
  const rounds = quick ? 1 : 3;
  const comparison = await compare({
    subjects,
    works: chosen,
    rounds,
    seconds: quick ? 2 : 1,
    load,
    say,
  });
  const used = residentOf(subjects);
  const timed = await latencies({
    subjects: subjects.filter(({ variant, pid }) => !variant && existsSync(`/proc/${pid}`)),
    upstreamPort: site.upstreamPort,
    work: works.get,
    rates: [{ perSecond: 1_000, seconds: 2 }, ...(quick ? [] : [{ perSecond: 4_000, seconds: 1 }])],
    rounds: quick ? 1 : 3,
    load,
    say,
  });
  let grown: Growth | undefined;
  let swapped: SwapResult | undefined;
  if (!quick) {
    say("policy swaps under load");
    swapped = await swaps({
      subject: postern,
      work: works.get,
      seconds: 4,
      load,
      publish: (revision) =>
        control.publish(
          postern.workload,
          orderPolicy(site.identity, OPERATIONS, revision),
          revision,
        ),
    });
    const byOperations = new Map<number, Subject>();
    for (const count of [1, 10, 100, 1_000]) {
      byOperations.set(count, running.use(await stage.startPostern(count)));
    }
    await warm([...byOperations.values()], [works.get, works.get], load);
    // Has served requests by then, but no more connections than usual.
    const fresh = byOperations.get(100) ?? postern;
    grown = await growth({ subject: postern, fresh, byOperations, works, rounds: 3, load, say });
  }
  return [
    targetTable(
      targets({ site, comparison, get: works.get.name, timed, grown, swapped }),
      `Load average of the ${cpus().length} cores in the minute before the run: ${busy.toFixed(1)}. Upstream: ${stage.upstreamBy}; throughput by ${load.throughputBy}.`,
    ),
    ...(missing.length === 0 ? [] : [missingTable(missing, site)]),
    ...comparisonTables(comparison, POSTERN),
    {
      title: "Resident memory, MiB",
      note: "Before the first request, and after all of the above.",
      rows: subjects.map(({ name }) => ({
        name,
        values: { idle: idle.get(name) ?? Number.NaN, used: used.get(name) ?? Number.NaN },
      })),
    },
    ...latencyTables(timed),
    ...(swapped === undefined
      ? []
      : [{ title: "Policy swaps at 1000 requests/s", rows: swapped.row }]),
    ...(grown?.tables ?? []),
  ];
}

export async function openStage(say: (line: string) => void): Promise<Stage> {
  await using opening = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-request-"));
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const programs = await obtainPrograms(say);
  const identity = await createIdentity();
  const upstream = opening.use(await startUpstream(programs.nginx, folder));
  const control = opening.use(await openControl());
  const load = opening.use(openLoad(programs.wrk, folder));
  const site: Site = { folder, upstreamPort: upstream.port, identity, programs };
  const opened = opening.move();
  return {
    site,
    control,
    load,
    upstreamBy: upstream.by,
    async startPostern(operations) {
      const workload = { namespace: "shop", name: `orders-${operations}` };
      await control.publish(workload, orderPolicy(identity, operations), 1);
      const sidecar = await control.startSidecar(workload, upstream.port);
      try {
        await serves({ title: POSTERN, verifies: true }, sidecar.port, identity);
      } catch (error) {
        throw new Error(`The sidecar does not serve: ${await sidecar.stop()}`, { cause: error });
      }
      const { pid, port } = sidecar;
      const dispose = (): PromiseLike<void> => sidecar[Symbol.asyncDispose]();
      const about = { name: POSTERN, verifies: true, variant: false, warms: true };
      return { ...about, pid, port, workload, [Symbol.asyncDispose]: dispose };
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function targets(results: {
  readonly site: Site;
  readonly comparison: Comparison;
  readonly get: string;
  readonly timed: readonly Latencies[];
  readonly grown: Growth | undefined;
  readonly swapped: SwapResult | undefined;
}) {
  const { site, comparison, get, timed, grown, swapped } = results;
  const to = (peer: PeerName) => ratio(comparison, get, POSTERN, titleOf(peer, site));
  const through = (peer: PeerName) => `CPU per GET with a known token ÷ ${titleOf(peer, site)}`;
  return [
    { name: through("haproxy-jwt"), atMost: 0.8, measured: to("haproxy-jwt") },
    { name: through("gateway"), atMost: 0.4, measured: to("gateway") },
    { name: through("envoy"), atMost: 1, measured: to("envoy") },
    {
      name: "added latency at 1000 requests/s, p50 ms",
      atMost: 0.4,
      measured: added(timed, POSTERN, 1_000, 0.5),
      // Half of the requests in a queue of the machine's own are more than a median hides.
      floor: directly(timed, 1_000, 0.9),
    },
    {
      name: "added latency at 1000 requests/s, p99 ms",
      atMost: 2,
      measured: added(timed, POSTERN, 1_000, 0.99),
      floor: directly(timed, 1_000, 0.99),
    },
    {
      name: "longest wait because of policy swaps, ms beyond that without",
      atMost: 5,
      measured: swapped === undefined ? undefined : swapped.maxMs - swapped.quietMaxMs,
      ...(swapped !== undefined && { floor: swapped.quietMaxMs }),
    },
    { name: "wrong answers during policy swaps", atMost: 0, measured: swapped?.wrong },
    { name: "cost of 1,000 operations ÷ of one", atMost: 1.1, measured: grown?.operations },
    { name: "KB per idle connection, of 10,000", atMost: 12, measured: grown?.idleConnectionKb },
    { name: "extra MiB for a body of 100 MB", atMost: 30, measured: grown?.largeBodyMiB },
  ];
}

/** One that has ended holds nothing; it was named where it failed. */
function residentOf(subjects: readonly Subject[]): ReadonlyMap<string, number> {
  return new Map(
    subjects.map(({ name, pid }) => [
      name,
      existsSync(`/proc/${pid}`) ? costOf(pid).residentMiB : Number.NaN,
    ]),
  );
}

function missingTable(
  missing: readonly { readonly name: PeerName; readonly title: string }[],
  site: Site,
): Table {
  return {
    title: "Not measured",
    rows: missing.map(({ name, title }) => {
      const program = programOf(name, site);
      return { name: title, values: { why: program?.kind === "missing" ? program.reason : "" } };
    }),
  };
}
