/**
 * Bundles from files, for `postern run`: compiled by this process, again whenever a file changes or `reload()`
 * is called. What cannot be compiled is an arrival that is refused, so the bundle in force stays.
 */
import type { Clock } from "../../runtime/clock.ts";
import { describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import { BoundedQueue } from "../../runtime/bounded-queue.ts";
import type { Arrival, BundleSource } from "./source.ts";
import { watchPaths } from "./watch-paths.ts";

/** An editor writes in several steps; after this time the file is read, and once more if it changed again. */
const SETTLE_MS = 30;

export interface FileSource extends BundleSource {
  /** Reads everything again, changed or not; for SIGHUP. */
  reload(): void;
}

export interface FileSourceOptions {
  /** Files and folders; a folder counts with the files directly in it. */
  readonly paths: readonly string[];
  /** Reads and compiles; says what is wrong as `refused`. */
  readonly load: () => Promise<Arrival>;
  readonly clock: Clock;
  readonly log: Log;
}

export function fileSource(options: FileSourceOptions): FileSource {
  const reloads = new Set<() => void>();
  return {
    name: `files ${options.paths.join(" ")}`,
    reload: () => {
      for (const reload of reloads) reload();
    },
    async *arrivals(signal) {
      const wishes = new BoundedQueue<"now" | "settle">({ capacity: 1, drop: "newest" });
      const reload = (): void => void wishes.push("now");
      const end = (): void => wishes.end();
      signal.addEventListener("abort", end, { once: true });
      reloads.add(reload);
      const follow = async (): Promise<void> => {
        const changes = watchPaths(options.paths, { ...options, signal });
        for await (const _ of changes) wishes.push("settle");
      };
      reload();
      const following = follow().finally(end);
      try {
        for await (const wish of wishes) {
          if (wish === "settle" && !(await settled(options.clock, signal))) return;
          yield await load(options);
        }
        await following;
      } finally {
        reloads.delete(reload);
        signal.removeEventListener("abort", end);
      }
    },
  };
}

async function load(options: FileSourceOptions): Promise<Arrival> {
  try {
    return await options.load();
  } catch (cause) {
    return { kind: "refused", code: "bundle.malformed", detail: describe(cause) };
  }
}

/** False when the signal came first. */
async function settled(clock: Clock, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(SETTLE_MS, signal);
    return true;
  } catch (cause) {
    if (signal.aborted) return false;
    throw cause;
  }
}
