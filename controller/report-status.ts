/**
 * Tells the cluster what is true: computes every policy's status from the last pass, the bus and the sidecars'
 * reports, and writes those that differ from what the cluster has. Time alone can change the truth (a sidecar
 * falls silent), so it also looks when nothing happened.
 */
import { acceptedCondition } from "../policy/accepted.ts";
import { bundleKey, HEARTBEAT_MS } from "../policy/contract.ts";
import { policyId, policyRef } from "../policy/policy-id.ts";
import type { Problem } from "../policy/problems.ts";
import type { Policy, UnreadablePolicy } from "../policy/resources.ts";
import type { PolicyStatus } from "../policy/status.ts";
import { backoffDelayMs } from "../runtime/backoff.ts";
import type { Bus } from "../runtime/bus/bus.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe, PosternError } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import type { Cluster } from "./cluster.ts";
import { inParallel } from "./in-parallel.ts";
import type { Publisher } from "./publish.ts";
import type { Reconciled } from "./reconcile.ts";
import { roughly } from "./enforced.ts";
import type { Sidecars, SidecarStates } from "./sidecars.ts";
import { statusEvents } from "./status-events.ts";
import { policyStatus, sameStatus } from "./status.ts";
import type { Bell } from "./ticks.ts";

const LOOK_MS = 1_000;
/** Lets a burst of reports and confirmations become one status. */
const GATHER_MS = 30;
/** One heartbeat with its jitter, and a little: sooner, silence means nothing. */
const SETTLE_MS = HEARTBEAT_MS * 1.5;
/** How long a restarted controller waits for the bus before it says that it cannot tell. */
const BUS_PATIENCE_MS = 10_000;
/** How long our own write may take to come back through the watch. */
const ECHO_MS = 5_000;
const COOL_DOWN = { firstMs: 500, maxMs: 15_000 };
const PARALLEL_WRITES = 16;

export interface StatusReporter {
  readonly counts: { readonly writes: number; readonly failures: number };
  /** Runs until the signal; rejects when a round fails unexpectedly, and may be run again. */
  run(signal: AbortSignal): Promise<void>;
}

interface Write {
  readonly id: string;
  readonly policy: Policy | UnreadablePolicy;
  readonly status: PolicyStatus;
  readonly previous: PolicyStatus | undefined;
}

export function createStatusReporter(options: {
  readonly cluster: Cluster;
  readonly bus: Bus;
  readonly publisher: Publisher;
  readonly sidecars: Sidecars;
  readonly clock: Clock;
  readonly log: Log;
  readonly bell: Bell;
  readonly latest: () => Reconciled | undefined;
  /** Since when we hear the sidecars without interruption. */
  readonly listeningSinceMs: () => number;
}): StatusReporter {
  const { cluster, bus, publisher, sidecars, clock, log } = options;
  const startedAtMs = clock.now();
  /** Written, and not yet seen in the cluster's own copy. */
  const echoes = new Map<string, { readonly status: PolicyStatus; readonly untilMs: number }>();
  /** Policies whose status was rejected: not before then again. */
  const cooling = new Map<string, number>();
  const counts = { writes: 0, failures: 0 };
  let lastLook = "";
  let lagging = false;
  let failures = 0;
  let notBeforeMs = 0;

  function current(
    id: string,
    statuses: ReadonlyMap<string, PolicyStatus>,
  ): PolicyStatus | undefined {
    const known = statuses.get(id);
    const echo = echoes.get(id);
    if (echo === undefined) return known;
    if (sameStatus(known, echo.status) || clock.now() > echo.untilMs) {
      echoes.delete(id);
      return known;
    }
    return echo.status;
  }

  function differences({ snapshot, compiled }: Reconciled, states: SidecarStates): Write[] {
    const nowMs = clock.now();
    const { statuses } = cluster.snapshot();
    const workloads = new Map(snapshot.workloads.map((one) => [bundleKey(one), one]));
    const problems = Map.groupBy(compiled.problems, (one: Problem) => policyId(one.policy));
    const writes: Write[] = [];
    lagging = false;
    for (const policy of [...snapshot.policies, ...snapshot.unreadable]) {
      const ref = policyRef(policy);
      const id = policyId(ref);
      const previous = current(id, statuses);
      const status = policyStatus({
        policy: ref,
        accepted: acceptedCondition(problems.get(id) ?? []),
        workloads: (compiled.selections.get(id) ?? []).flatMap((key) => workloads.get(key) ?? []),
        published: (workload) => publisher.published(workload),
        failure: (workload) => publisher.failure(workload),
        busKnown: publisher.synced,
        bus: bus.state,
        sidecars: states,
        settling: nowMs - options.listeningSinceMs() < SETTLE_MS,
        previous,
        nowMs,
      });
      if (status.conditions.some(({ type, status: is }) => type === "Enforced" && is !== "True")) {
        lagging = true;
      }
      if (!sameStatus(previous, status) && (cooling.get(id) ?? 0) <= nowMs) {
        writes.push({ id, policy, status, previous });
      }
    }
    return writes;
  }

  async function write(
    { id, policy, status, previous }: Write,
    signal: AbortSignal,
  ): Promise<void> {
    const ref = policyRef(policy);
    try {
      await cluster.writeStatus(policy, status, signal);
    } catch (error) {
      if (!(error instanceof PosternError)) throw error;
      if (error.code !== "cluster.rejected" && error.code !== "cluster.conflict") throw error;
      // This one policy's trouble must not hold up the others.
      log.warn("Cannot write the status of a policy", { policy: id, error: describe(error) });
      counts.failures += 1;
      cooling.set(id, clock.now() + COOL_DOWN.maxMs);
      return;
    }
    counts.writes += 1;
    cooling.delete(id);
    echoes.set(id, { status, untilMs: clock.now() + ECHO_MS });
    for (const event of statusEvents(ref, previous, status)) cluster.emit(event);
  }

  async function round(signal: AbortSignal, rung: boolean): Promise<void> {
    const latest = options.latest();
    const nowMs = clock.now();
    if (latest === undefined || nowMs < notBeforeMs) return;
    if (!publisher.synced && nowMs - startedAtMs < BUS_PATIENCE_MS) return;
    const states = sidecars.states();
    const look = lookOf(states);
    if (!rung && !lagging && look === lastLook) return;
    lastLook = look;
    try {
      await inParallel(differences(latest, states), PARALLEL_WRITES, (one) => write(one, signal));
      failures = 0;
    } catch (error) {
      if (signal.aborted || !(error instanceof PosternError)) throw error;
      failures += 1;
      counts.failures += 1;
      lagging = true; // so that the next look does not believe that nothing is left to do
      const pauseMs = backoffDelayMs(failures - 1, COOL_DOWN);
      notBeforeMs = clock.now() + pauseMs;
      log.warn("Cannot write status", { error: describe(error), again: `in ${pauseMs} ms` });
    }
  }

  return {
    counts,
    async run(signal) {
      let rung = true;
      while (!signal.aborted) {
        await round(signal, rung);
        rung = await options.bell.wait(LOOK_MS, clock, signal);
        if (rung) await clock.sleep(GATHER_MS, signal).catch(() => undefined);
      }
    },
  };
}

/** What time alone can change of the sidecars' states, as a message would say it. */
function lookOf(states: SidecarStates): string {
  let look = "";
  for (const [key, state] of states) {
    if (state.kind === "reporting") continue;
    look += `${key} ${state.kind}${state.kind === "lost" ? roughly(state.silentMs) : ""}\n`;
  }
  return look;
}
