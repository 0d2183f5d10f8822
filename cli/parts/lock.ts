/**
 * One builder at a time per cache folder, also between processes. The lock is a file that names its owner;
 * an owner that died leaves it behind, so a lock whose process is gone counts as free. Losing that race
 * costs a second build, never a broken file: results are renamed into place when they are whole.
 */
import { linkSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, systemClock } from "../../runtime/clock.ts";

const LOOK_AGAIN_MS = 500;

/** Runs `body` alone. `onWait` is told once when another process has the lock. */
export async function withLock<T>(
  path: string,
  signal: AbortSignal,
  onWait: () => void,
  body: () => Promise<T>,
  clock: Clock = systemClock,
): Promise<T> {
  let told = false;
  while (!take(path)) {
    if (!told) onWait();
    told = true;
    // The clock's timers do not keep a process alive; a watcher does, while there is nothing else to do.
    const watcher = watch(dirname(path));
    try {
      await clock.sleep(LOOK_AGAIN_MS, signal);
    } finally {
      watcher.close();
    }
  }
  try {
    return await body();
  } finally {
    rmSync(path, { force: true });
  }
}

/** Linking a finished file is atomic: nobody ever sees a lock without its owner. */
function take(path: string): boolean {
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    linkSync(mine, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (!ownerLives(path)) rmSync(path, { force: true });
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

function ownerLives(path: string): boolean {
  try {
    process.kill(Number(readFileSync(path, "utf8")), 0);
    return true;
  } catch (error) {
    // EPERM: somebody else's process, and alive. ENOENT: just released. ESRCH, or nonsense in the file: dead.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
