/**
 * Tells that something about these files or folders may have changed. Watches the folders that hold them, so
 * that it survives editors that write a new file over the old one, and Kubernetes' swap of a `..data` link.
 * Says too much rather than too little: whoever listens reads and compares.
 */
import { statSync, watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { BoundedQueue } from "../../runtime/bounded-queue.ts";
import type { Clock } from "../../runtime/clock.ts";
import { describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";

/** How long a folder that cannot be watched is left alone. */
const RETRY_MS = 1_000;

export interface WatchPathsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Yields after changes; many changes before the reader comes are one. The watch stands when this returns. */
export function watchPaths(
  paths: readonly string[],
  options: WatchPathsOptions,
): AsyncIterable<void> {
  const changes = new BoundedQueue<true>({ capacity: 1, drop: "newest" });
  const folders = new Map<string, Set<string> | "all">();
  for (const path of paths) {
    const absolute = resolve(path);
    if (isFolder(absolute)) folders.set(absolute, "all");
    // Also of a folder: it may be replaced as a whole.
    const names = folders.get(dirname(absolute)) ?? new Set<string>();
    if (names !== "all") folders.set(dirname(absolute), names.add(basename(absolute)));
  }
  for (const [folder, names] of folders) {
    watchFolder(folder, names, () => changes.push(true), options);
  }
  const end = (): void => changes.end();
  if (options.signal.aborted) end();
  else options.signal.addEventListener("abort", end, { once: true });
  return voids(changes);
}

async function* voids(changes: AsyncIterable<true>): AsyncGenerator<void, void, void> {
  for await (const _ of changes) yield;
}

function watchFolder(
  folder: string,
  names: ReadonlySet<string> | "all",
  tell: () => void,
  options: WatchPathsOptions,
): void {
  const { clock, log, signal } = options;
  if (signal.aborted) return;
  const again = (cause: unknown): void => {
    log.debug("Cannot watch folder; trying again", { folder, error: describe(cause) });
    clock.sleep(RETRY_MS, signal).then(
      () => {
        watchFolder(folder, names, tell, options);
        // Whatever happened meanwhile was not seen.
        tell();
      },
      () => undefined, // aborted
    );
  };
  try {
    const watcher = watch(folder, { persistent: false, signal }, (event, name) => {
      // Kubernetes' mounts change by renaming `..data`, which no path of ours is called.
      const concerns = names === "all" || name === null || names.has(name) || name === "..data";
      if (concerns) tell();
      if (event === "rename" && name === basename(folder) && !isFolder(folder)) {
        watcher.close();
        again(new Error("The folder was removed"));
      }
    });
    watcher.once("error", (cause) => {
      watcher.close();
      again(cause);
    });
  } catch (cause) {
    again(cause);
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // not there yet: then its parent tells when it comes
  }
}
