/**
 * The controller of one cluster: opens the loops that make it up and owns them. Each loop is level-based and
 * guarded: what it throws is logged, counted and tried again with back-off, and never ends the process. The
 * same function runs in a pod (controller/main.ts) and inside `postern dev`.
 */
import { ACK_SUBJECTS } from "../policy/contract.ts";
import { backoffDelayMs } from "../runtime/backoff.ts";
import type { Bus } from "../runtime/bus/bus.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import type { Cluster } from "./cluster.ts";
import { createKeySets } from "./keys/key-sets.ts";
import type { KeySetsOptions } from "./keys/key-sets.ts";
import { renderMetrics } from "./metrics.ts";
import { createPublisher } from "./publish.ts";
import { createReconciler } from "./reconcile.ts";
import { createStatusReporter } from "./report-status.ts";
import { createSidecars } from "./sidecars.ts";
import type { Signer } from "./sign.ts";
import { createBell } from "./ticks.ts";

const BACKOFF = { firstMs: 100, maxMs: 10_000 };

export interface ControllerOptions {
  /** Closed together with the controller. */
  readonly cluster: Cluster;
  /** Stays open: whoever opened it closes it. */
  readonly bus: Bus;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
  readonly keys?: Omit<KeySetsOptions, "clock" | "log">;
}

export interface Controller extends AsyncDisposable {
  /** Why it does not do its work at present; empty when it does. */
  notReady(): readonly string[];
  /** In Prometheus' text format. */
  metrics(): string;
  /** Resolves when the first pass is done: from then on, what is wanted is known. */
  firstPass(signal: AbortSignal): Promise<void>;
  /** Ends all loops; what is published stays. Idempotent. */
  close(): Promise<void>;
}

export async function startController(options: ControllerOptions): Promise<Controller> {
  const { cluster, bus, signer, clock, log } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const compileBell = createBell();
  const statusBell = createBell();
  const failures = new Map<string, number>();
  let listeningSinceMs = clock.now();
  const passed = Promise.withResolvers<void>();

  const sidecars = createSidecars(clock);
  const keySets = createKeySets({ ...options.keys, clock, log });
  const publisher = createPublisher({ bus, signer, clock, log });
  const reconciler = createReconciler({
    cluster,
    keySets,
    publisher,
    sidecars,
    clock,
    bell: compileBell,
    onPass() {
      passed.resolve();
      statusBell.ring();
    },
  });
  const reporter = createStatusReporter({
    cluster,
    bus,
    publisher,
    sidecars,
    clock,
    log,
    bell: statusBell,
    latest: () => reconciler.latest,
    listeningSinceMs: () => listeningSinceMs,
  });

  async function followReports(): Promise<void> {
    for await (const message of bus.subscribe(ACK_SUBJECTS, signal)) {
      const taken = sidecars.take(message);
      if (taken.kind === "ignored") {
        log.debug("Report ignored", { subject: message.subject, reason: taken.reason });
        continue;
      }
      const { workload, pod, enforced, refused } = taken.report;
      if (refused?.code === "bundle.replayed" && enforced !== undefined) {
        publisher.jump(workload, enforced.revision);
      }
      if (taken.kind === "same") continue;
      if (refused !== undefined) {
        log.warn("A sidecar refuses its bundle", { ...workload, pod, ...refused });
      }
      statusBell.ring();
    }
  }

  async function followBus(): Promise<void> {
    for await (const state of bus.states(signal)) {
      if (state === "connected") listeningSinceMs = clock.now();
      statusBell.ring();
    }
  }

  /** Runs a loop for ever: whatever it throws, it starts again after a while. */
  async function guard(name: string, loop: () => Promise<void>): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        await loop();
        if (signal.aborted) return;
        log.warn("A loop of the controller ended before its time", { loop: name });
      } catch (error) {
        if (signal.aborted) return;
        log.error("A loop of the controller failed", { loop: name, error: describe(error) });
      }
      failures.set(name, (failures.get(name) ?? 0) + 1);
      await clock.sleep(backoffDelayMs(attempt, BACKOFF), signal).catch(() => undefined);
    }
  }

  const ringAt = (changes: AsyncIterable<void>, ring: () => void) => async () => {
    for await (const _ of changes) ring();
  };
  const loops = [
    // Listening comes first: what happens from here on is not missed.
    guard("reports", followReports),
    guard("bus", followBus),
    guard(
      "cluster",
      ringAt(cluster.changes(signal), () => compileBell.ring()),
    ),
    guard(
      "keys",
      ringAt(keySets.changes(signal), () => compileBell.ring()),
    ),
    guard(
      "published",
      ringAt(publisher.changes(signal), () => statusBell.ring()),
    ),
    guard("reconcile", () => reconciler.run(signal)),
    guard("publish", () => publisher.run(signal)),
    guard("status", () => reporter.run(signal)),
  ];

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= (async () => {
      closing.abort();
      passed.resolve();
      await Promise.all(loops);
      await keySets.close();
      await cluster.close();
    })();
    return closed;
  };

  return {
    notReady() {
      const reasons: string[] = [];
      if (reconciler.latest === undefined) reasons.push("the cluster has not been read yet");
      if (bus.state !== "connected") reasons.push("the bus is not connected");
      else if (!publisher.synced) reasons.push("the bus has not been read yet");
      return reasons;
    },
    metrics: () =>
      renderMetrics({
        latest: reconciler.latest,
        reconcile: reconciler.counts,
        publish: publisher.counts,
        status: reporter.counts,
        sidecars: sidecars.counts,
        states: sidecars.states(),
        keys: keySets.counts,
        busConnected: bus.state === "connected",
        failures,
      }),
    async firstPass(waiting) {
      const given = Promise.withResolvers<never>();
      const abort = (): void => given.reject(waiting.reason as Error);
      if (waiting.aborted) abort();
      waiting.addEventListener("abort", abort, { once: true });
      await Promise.race([passed.promise, given.promise]).finally(() =>
        waiting.removeEventListener("abort", abort),
      );
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
