/**
 * Keeps the bus at what was compiled. One loop, level-based: for each workload it compares what is wanted with
 * what the bus has confirmed, and publishes the difference, newest first to last. It reads back what the bus
 * has at the start and after each reconnect, so that a restart of ours publishes nothing anew, and a NATS that
 * lost its state gets everything again. Revisions only grow: max(last + 1, Unix milliseconds); a renewal keeps
 * its revision. See ADR 0005.
 */
import type { BundleContent, WorkloadRef } from "../policy/bundle.ts";
import { bundleKey, RENEW_AFTER_MS } from "../policy/contract.ts";
import { canonicalJson, digestOf, sealBundle } from "../policy/encode.ts";
import type { BundleReading } from "../policy/read-bundle.ts";
import { readBundle } from "../policy/read-bundle.ts";
import { backoffDelayMs } from "../runtime/backoff.ts";
import type { Bus } from "../runtime/bus/bus.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import type { Published } from "./enforced.ts";
import { KEYS_PENDING } from "./keys/key-sets.ts";
import { inParallel } from "./in-parallel.ts";
import type { Signer } from "./sign.ts";
import { createBell, createTicks } from "./ticks.ts";

/** A workload whose pods are only being replaced keeps its bundle. */
const REMOVAL_GRACE_MS = 60_000;
/** Longer than a fetch of keys may take: a bundle without them is worse than a bundle a little later. */
const HOLD_FOR_KEYS_MS = 8_000;
const SWEEP_MS = 5_000;
/** In case the bus lost something without losing the connection. */
const AUDIT_MS = 60_000;
const PARALLEL = 16;
const BACKOFF = { firstMs: 200, maxMs: 10_000 };
/** A revision further ahead than this is no clock difference, it is an error or an attack. */
const MAX_JUMP_MS = 24 * 3_600_000;

export interface PublisherOptions {
  readonly bus: Bus;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Publisher {
  /** These are all the bundles there should be. */
  want(bundles: readonly BundleContent[]): void;
  published(workload: WorkloadRef): Published | undefined;
  /** Whether it is known what the bus has: false until it was read for the first time. */
  readonly synced: boolean;
  /** Why the last attempt for a workload failed. */
  failure(workload: WorkloadRef): string | undefined;
  /** A sidecar refused ours as a replay, because it has `revision`: go above it. */
  jump(workload: WorkloadRef, revision: number): void;
  /** A tick whenever `published()` may answer differently. */
  changes(signal: AbortSignal): AsyncIterable<void>;
  readonly counts: {
    readonly published: number;
    readonly failed: number;
    readonly removed: number;
  };
  /** Runs until the signal; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

interface Entry {
  wanted: BundleContent | undefined;
  confirmed: (Published & { readonly issuedAtMs: number }) | undefined;
  /** The highest revision that anybody may have seen. */
  lastRevision: number;
  heldSinceMs: number | undefined;
  unwantedSinceMs: number | undefined;
  mustRenew: boolean;
  failure: string | undefined;
}

export function createPublisher(options: PublisherOptions): Publisher {
  const { bus, signer, clock, log } = options;
  const entries = new Map<string, Entry>();
  const bell = createBell();
  /** Only the bus itself may cut a back-off short: more wishes do not make it any healthier. */
  const busBell = createBell();
  const ticks = createTicks();
  const counts = { published: 0, failed: 0, removed: 0 };
  /** False again after a reconnect: the bus may have lost or gained something. */
  let readBack = false;
  let everRead = false;
  /** Before that, nothing on the bus is superfluous: we do not know yet what there should be. */
  let everWanted = false;
  let auditedAtMs = 0;

  function entryOf(key: string): Entry {
    let entry = entries.get(key);
    if (entry === undefined) {
      entry = {
        wanted: undefined,
        confirmed: undefined,
        lastRevision: 0,
        heldSinceMs: undefined,
        unwantedSinceMs: everWanted ? clock.now() : undefined,
        mustRenew: false,
        failure: undefined,
      };
      entries.set(key, entry);
    }
    return entry;
  }

  /** What is on the bus becomes what we know; what is not ours counts as not there. */
  async function readBackAll(signal: AbortSignal): Promise<void> {
    const present = new Set(await bus.bundles.keys(signal));
    for (const [key, entry] of entries) if (!present.has(key)) entry.confirmed = undefined;
    await inParallel([...present], PARALLEL, async (key) => {
      const bytes = await bus.bundles.get(key, signal);
      const entry = entryOf(key);
      const reading = bytes === undefined ? undefined : readOwn(signer, bytes);
      if (reading?.kind !== "bundle") {
        entry.confirmed = undefined;
        entry.lastRevision = Math.max(entry.lastRevision, reading?.revision ?? 0);
        if (reading !== undefined) {
          log.warn("A bundle on the bus is not ours", { key, reason: reading.detail });
        }
        return;
      }
      const { revision, digest, policies, issuedAtMs } = reading.bundle;
      entry.lastRevision = Math.max(entry.lastRevision, revision);
      const sinceMs = entry.confirmed?.digest === digest ? entry.confirmed.sinceMs : issuedAtMs;
      entry.confirmed = { revision, digest, policies, issuedAtMs, sinceMs };
    });
    auditedAtMs = clock.now();
    readBack = true;
    everRead = true;
    ticks.tick();
  }

  async function publish(key: string, entry: Entry, signal: AbortSignal): Promise<void> {
    const content = entry.wanted;
    if (content === undefined) return;
    const nowMs = clock.now();
    const before = entry.confirmed;
    // The same content, only signed anew: sidecars then learn its age and nothing else. Not if a later
    // revision may have got through without our knowing.
    const renews =
      before?.digest === digestOf(content) &&
      before.revision === entry.lastRevision &&
      !entry.mustRenew;
    const revision = renews ? before.revision : Math.max(entry.lastRevision + 1, nowMs);
    const bundle = sealBundle(content, { revision, issuedAtMs: nowMs });
    entry.lastRevision = revision;
    await bus.bundles.put(key, signer.sign(Buffer.from(canonicalJson(bundle))), signal);
    const sinceMs = before?.digest === bundle.digest ? before.sinceMs : nowMs;
    const { digest, policies } = bundle;
    entry.confirmed = { revision, digest, policies, issuedAtMs: nowMs, sinceMs };
    entry.mustRenew = false;
    entry.failure = undefined;
    counts.published += 1;
    log.info(renews ? "Bundle renewed" : "Bundle published", {
      key,
      revision,
      digest: bundle.digest,
      policies: content.policies.length,
    });
    ticks.tick();
  }

  async function remove(key: string, signal: AbortSignal): Promise<void> {
    await bus.bundles.remove(key, signal);
    counts.removed += 1;
    log.info("Bundle removed: its workload is gone", { key });
    // Wanted again meanwhile: the next round publishes it.
    const entry = entryOf(key);
    if (entry.wanted === undefined) entries.delete(key);
    else entry.confirmed = undefined;
  }

  async function round(signal: AbortSignal): Promise<void> {
    if (bus.state !== "connected") return;
    if (!readBack || clock.now() - auditedAtMs >= AUDIT_MS) await readBackAll(signal);
    const nowMs = clock.now();
    const due = [...entries].filter(([, entry]) => isDue(entry, nowMs));
    let failure: Error | undefined;
    await inParallel(due, PARALLEL, async ([key, entry]) => {
      try {
        if (entry.wanted === undefined) await remove(key, signal);
        else await publish(key, entry, signal);
      } catch (error) {
        failure ??= error as Error;
        entry.failure = describe(error);
        counts.failed += 1;
      }
    });
    if (failure !== undefined) throw failure;
  }

  return {
    want(bundles) {
      everWanted = true;
      const wanted = new Set<string>();
      for (const content of bundles) {
        const key = bundleKey(content.workload);
        wanted.add(key);
        const entry = entryOf(key);
        entry.unwantedSinceMs = undefined;
        if (hasPendingKeys(content)) {
          entry.heldSinceMs ??= clock.now();
          if (clock.now() - entry.heldSinceMs < HOLD_FOR_KEYS_MS) continue;
        } else {
          entry.heldSinceMs = undefined;
        }
        entry.wanted = content;
      }
      for (const [key, entry] of entries) {
        if (wanted.has(key)) continue;
        entry.wanted = undefined;
        entry.unwantedSinceMs ??= clock.now();
      }
      bell.ring();
    },
    published: (workload) => entries.get(bundleKey(workload))?.confirmed,
    failure: (workload) => entries.get(bundleKey(workload))?.failure,
    jump(workload, revision) {
      const entry = entries.get(bundleKey(workload));
      if (entry === undefined || revision <= entry.lastRevision) return;
      if (revision > clock.now() + MAX_JUMP_MS) {
        log.warn("A sidecar has a revision that lies more than a day ahead: ignored", {
          key: bundleKey(workload),
          revision,
        });
        return;
      }
      entry.lastRevision = revision;
      entry.mustRenew = true;
      bell.ring();
    },
    changes: (signal) => ticks.each(signal),
    get synced() {
      return everRead;
    },
    counts,
    async run(signal) {
      const follow = (async () => {
        for await (const state of bus.states(signal)) {
          if (state === "connected") readBack = false;
          bell.ring();
          busBell.ring();
        }
      })().catch((error: unknown) =>
        log.error("Cannot follow the bus", { error: describe(error) }),
      );
      let failures = 0;
      while (!signal.aborted) {
        let pauseMs = SWEEP_MS;
        busBell.clear();
        try {
          await round(signal);
          failures = 0;
        } catch (error) {
          if (signal.aborted) break;
          pauseMs = backoffDelayMs(failures, BACKOFF);
          failures += 1;
          log.warn("Cannot publish", { error: describe(error), again: `in ${pauseMs} ms` });
          ticks.tick();
        }
        await (failures > 0 ? busBell : bell).wait(pauseMs, clock, signal);
      }
      await follow;
    },
  };
}

function isDue(entry: Entry, nowMs: number): boolean {
  if (entry.wanted === undefined) {
    return entry.unwantedSinceMs !== undefined && nowMs - entry.unwantedSinceMs >= REMOVAL_GRACE_MS;
  }
  return (
    entry.mustRenew ||
    entry.confirmed === undefined ||
    entry.confirmed.digest !== digestOf(entry.wanted) ||
    nowMs - entry.confirmed.issuedAtMs >= RENEW_AFTER_MS
  );
}

function readOwn(signer: Signer, bytes: Uint8Array): BundleReading {
  const payload = signer.verify(bytes);
  if (payload === undefined) {
    return { kind: "refused", code: "bundle.signature", detail: "not signed with our key" };
  }
  return readBundle(JSON.parse(Buffer.from(payload).toString("utf8")));
}

function hasPendingKeys(content: BundleContent): boolean {
  return content.layers.some((layer) =>
    (layer.authentication?.providers ?? []).some(
      ({ keys }) => keys.kind === "unavailable" && keys.reason.includes(KEYS_PENDING),
    ),
  );
}
