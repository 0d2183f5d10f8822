/**
 * «A file of this folder was saved.» Editors save in many ways (in place, by renaming, in several writes), so a
 * burst is one change, told when it has been quiet for a moment.
 */
import { type FSWatcher, watch } from "node:fs";
import { type Ticks, createTicks } from "../../controller/ticks.ts";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError } from "../../runtime/error.ts";

const QUIET_MS = 30;

export interface FolderWatch {
  changes(signal: AbortSignal): AsyncIterable<void>;
  close(): void;
}

export function watchFolder(folder: string, clock: Clock): FolderWatch {
  const ticks: Ticks = createTicks();
  const closing = new AbortController();
  let burst: AbortController | undefined;
  let watcher: FSWatcher;
  try {
    watcher = watch(folder);
  } catch (cause) {
    throw new PosternError("disk.unusable", `Cannot watch ${folder}`, { cause });
  }
  watcher.on("change", () => {
    burst?.abort();
    burst = new AbortController();
    clock.sleep(QUIET_MS, AbortSignal.any([burst.signal, closing.signal])).then(
      () => ticks.tick(),
      () => undefined,
    );
  });
  // The folder went away: whoever reads it next finds out, and says so.
  watcher.on("error", () => ticks.tick());
  return {
    changes: (signal) => ticks.each(signal),
    close: () => {
      closing.abort();
      watcher.close();
    },
  };
}
