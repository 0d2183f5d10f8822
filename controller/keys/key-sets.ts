/**
 * The keys of every issuer that policies name, kept fresh. Per source one loop, so never two fetches at once
 * and no late answer that overtakes a newer one: a refresh every few minutes, back-off after a failure, and
 * the last good keys meanwhile, for a bounded time. A source that nobody names any more is forgotten.
 */
import { isDeepStrictEqual } from "node:util";
import { keySourceId } from "../../policy/key-sources.ts";
import type { PublicJwk } from "../../policy/bundle.ts";
import { readJwks } from "../../policy/public-jwk.ts";
import type { KeyResolution, KeySource } from "../../policy/resources.ts";
import { backoffDelayMs } from "../../runtime/backoff.ts";
import type { Clock } from "../../runtime/clock.ts";
import { describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import type { Material } from "../cluster.ts";
import { createTicks } from "../ticks.ts";
import { loadKeys } from "./load.ts";
import type { RemoteSource } from "./load.ts";

/** The reason while the first fetch of a source has not ended: not yet worth publishing. */
export const KEYS_PENDING = "The keys are being fetched for the first time";
/** More sources than this are not followed; those that came last say so. */
const MAX_REMOTE_SOURCES = 1024;
/** So that a restart with a thousand issuers does not open a thousand connections at once. */
const MAX_FETCHES_AT_ONCE = 32;
const COOL_DOWN = { firstMs: 1_000, maxMs: 60_000 };

export interface KeySetsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly refreshMs?: number;
  /** Keys that could not be refreshed for this long are not trusted any more: the issuer may have revoked them. */
  readonly maxStaleMs?: number;
  readonly extraCa?: string;
  readonly deadlineMs?: number;
}

export interface KeySets {
  /** From now on these are followed, and no others. `material` holds the referenced Secrets and ConfigMaps. */
  want(sources: readonly KeySource[], material: ReadonlyMap<string, Material>): void;
  /** By `keySourceId()`, for every wanted source. */
  resolve(): ReadonlyMap<string, KeyResolution>;
  /** Resolves when no wanted source is pending, or after `withinMs`. */
  settled(withinMs: number, signal: AbortSignal): Promise<void>;
  /** A tick when `resolve()` would answer differently. */
  changes(signal: AbortSignal): AsyncIterable<void>;
  readonly counts: {
    readonly known: number;
    readonly unavailable: number;
    readonly fetches: number;
  };
  /** Ends the loops; resolves when they have. */
  close(): Promise<void>;
}

interface Entry {
  readonly source: RemoteSource;
  readonly stop: AbortController;
  good: { readonly jwks: readonly PublicJwk[]; readonly atMs: number } | undefined;
  problem: string | undefined;
}

export function createKeySets(options: KeySetsOptions): KeySets {
  const { clock, log } = options;
  const refreshMs = options.refreshMs ?? 5 * 60_000;
  const maxStaleMs = options.maxStaleMs ?? 24 * 3_600_000;
  const ticks = createTicks();
  const remote = new Map<string, Entry>();
  const loops = new Set<Promise<void>>();
  const slots = createSlots(MAX_FETCHES_AT_ONCE);
  let local = new Map<string, KeyResolution>();
  let fetches = 0;

  function resolveEntry(entry: Entry): KeyResolution {
    const { good, problem } = entry;
    if (good === undefined) return { kind: "unavailable", reason: problem ?? KEYS_PENDING };
    if (clock.now() - good.atMs <= maxStaleMs) return { kind: "known", jwks: good.jwks };
    const since = new Date(good.atMs).toISOString();
    return {
      kind: "unavailable",
      reason: `The keys could not be refreshed since ${since}: ${problem ?? "no answer"}`,
    };
  }

  async function follow(entry: Entry, id: string): Promise<void> {
    const { signal } = entry.stop;
    let failures = 0;
    let told = KEYS_PENDING;
    while (!signal.aborted) {
      try {
        const jwks = await slots.run(() => {
          fetches += 1;
          return loadKeys(entry.source, signal, options);
        });
        if (signal.aborted) return;
        if (failures > 0) log.info("Keys are fetched again", { source: id });
        failures = 0;
        entry.good = { jwks, atMs: clock.now() };
        entry.problem = undefined;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        const problem = describe(error);
        if (problem !== entry.problem) log.warn("Cannot fetch keys", { source: id, problem });
        entry.problem = problem;
      }
      const now = JSON.stringify(resolveEntry(entry));
      if (now !== told) ticks.tick();
      told = now;
      const delayMs =
        failures === 0
          ? refreshMs * (0.9 + Math.random() * 0.2)
          : backoffDelayMs(failures - 1, COOL_DOWN);
      await clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }

  function start(source: RemoteSource, id: string): void {
    const entry: Entry = {
      source,
      stop: new AbortController(),
      good: undefined,
      problem: undefined,
    };
    remote.set(id, entry);
    if (remote.size > MAX_REMOTE_SOURCES) {
      entry.problem = `More than ${MAX_REMOTE_SOURCES} different issuers are named: this one is not followed`;
      return;
    }
    const loop = follow(entry, id).finally(() => loops.delete(loop));
    loops.add(loop);
  }

  /** An answer that did not change stays the very same object: what was compiled with it is remembered. */
  let answers = new Map<string, KeyResolution>();
  function resolve(): Map<string, KeyResolution> {
    const all = new Map(local);
    for (const [id, entry] of remote) all.set(id, resolveEntry(entry));
    for (const [id, answer] of all) {
      const before = answers.get(id);
      if (before !== undefined && isDeepStrictEqual(before, answer)) all.set(id, before);
    }
    answers = all;
    return all;
  }

  return {
    want(sources, material) {
      const wanted = new Map(sources.map((source) => [keySourceId(source), source]));
      for (const [id, entry] of remote) {
        if (wanted.has(id)) continue;
        entry.stop.abort();
        remote.delete(id);
      }
      local = new Map();
      for (const [id, source] of wanted) {
        if (!isRemote(source)) local.set(id, readMaterial(source, material.get(id)));
        else if (!remote.has(id)) start(source, id);
      }
    },
    resolve,
    async settled(withinMs, signal) {
      const done = new AbortController();
      const either = AbortSignal.any([signal, done.signal]);
      const deadline = clock.sleep(withinMs, either).then(
        () => done.abort(),
        () => undefined,
      );
      const pending = (): boolean =>
        [...remote.values()].some(
          (entry) => entry.good === undefined && entry.problem === undefined,
        );
      const changes = ticks.each(either);
      if (pending()) for await (const _ of changes) if (!pending()) break;
      done.abort();
      await deadline;
    },
    changes: (signal) => ticks.each(signal),
    get counts() {
      const all = [...resolve().values()];
      const known = all.filter(({ kind }) => kind === "known").length;
      return { known, unavailable: all.length - known, fetches };
    },
    async close() {
      for (const entry of remote.values()) entry.stop.abort();
      await Promise.all(loops);
    },
  };
}

function isRemote(source: KeySource): source is RemoteSource {
  return source.kind === "uri" || source.kind === "discovery";
}

function readMaterial(
  source: Exclude<KeySource, RemoteSource>,
  material: Material | undefined,
): KeyResolution {
  const where = `${source.kind === "secret" ? "Secret" : "ConfigMap"} ${source.namespace}/${source.name}`;
  if (material === undefined) return { kind: "unavailable", reason: `${where}: ${KEYS_PENDING}` };
  if (material.kind === "unavailable") return material;
  const read = readJwks(material.text);
  return read.kind === "keys"
    ? { kind: "known", jwks: read.jwks }
    : { kind: "unavailable", reason: `${where}, key "${source.key}": ${read.message}` };
}

/** At most `count` at once; the others wait in order. */
function createSlots(count: number): { run<T>(task: () => Promise<T>): Promise<T> } {
  let free = count;
  const waiting: (() => void)[] = [];
  return {
    async run(task) {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await task();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}
