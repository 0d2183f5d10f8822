/**
 * The level-based heart: snapshot → keys → compile → what should be on the bus. Whatever changed, it looks at
 * everything and computes the whole answer; unchanged parts cost next to nothing, because compile() remembers.
 */
import { compile } from "../policy/compile.ts";
import type { Compiled } from "../policy/compile.ts";
import { keySources } from "../policy/key-sources.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Cluster, Snapshot } from "./cluster.ts";
import type { KeySets } from "./keys/key-sets.ts";
import type { Publisher } from "./publish.ts";
import type { Sidecars } from "./sidecars.ts";
import type { Bell } from "./ticks.ts";

/** A burst (kubectl apply of a folder) becomes a few passes: the first at once, the others this far apart. */
const SPACING_MS = 20;
/** One fetch with its deadline, and a little. */
const FIRST_KEYS_MS = 6_000;
/** Nothing asks for a pass without a change, apart from keys that grow too old. */
const IDLE_PASS_MS = 60_000;

export interface Reconciled {
  readonly snapshot: Snapshot;
  readonly compiled: Compiled;
}

export interface Reconciler {
  /** Undefined until the first pass. */
  readonly latest: Reconciled | undefined;
  readonly counts: { readonly passes: number; readonly lastMs: number };
  /** Runs until the signal; rejects when a pass fails, and may be run again. */
  run(signal: AbortSignal): Promise<void>;
}

export function createReconciler(options: {
  readonly cluster: Cluster;
  readonly keySets: KeySets;
  readonly publisher: Publisher;
  readonly sidecars: Sidecars;
  readonly clock: Clock;
  /** Rings when something that decides what is enforced has changed. */
  readonly bell: Bell;
  readonly onPass: () => void;
}): Reconciler {
  const { cluster, keySets, publisher, sidecars, clock, bell } = options;
  let latest: Reconciled | undefined;
  let passes = 0;
  let lastMs = 0;
  let started = false;

  function pass(): void {
    const startedAt = performance.now();
    const snapshot = cluster.snapshot();
    keySets.want(keySources(snapshot.policies), snapshot.material);
    const compiled = compile({ ...snapshot, keys: keySets.resolve() });
    sidecars.expect(snapshot.workloads);
    publisher.want([...compiled.bundles.values()]);
    latest = { snapshot, compiled };
    passes += 1;
    lastMs = performance.now() - startedAt;
    options.onPass();
  }

  return {
    get latest() {
      return latest;
    },
    get counts() {
      return { passes, lastMs };
    },
    async run(signal) {
      if (!started) {
        await cluster.synced(signal);
        // Bundles without keys would replace good ones on the bus: give the issuers one chance first.
        const snapshot = cluster.snapshot();
        keySets.want(keySources(snapshot.policies), snapshot.material);
        await keySets.settled(FIRST_KEYS_MS, signal);
        started = true;
      }
      while (!signal.aborted) {
        pass();
        await clock.sleep(SPACING_MS, signal).catch(() => undefined);
        await bell.wait(IDLE_PASS_MS, clock, signal);
      }
    },
  };
}
