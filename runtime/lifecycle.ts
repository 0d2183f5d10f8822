/**
 * The life of a process: what is opened in order is closed in reverse, within one deadline. The first signal
 * asks for an orderly end, a second one ends at once.
 */
import { once } from "node:events";
import type { Clock } from "./clock.ts";
import { PosternError, describe } from "./error.ts";
import type { Log } from "./log.ts";

/** What of `process` this needs; tests pass an EventEmitter. */
export interface SignalSource {
  on(event: "SIGTERM" | "SIGINT", listener: () => void): unknown;
  off(event: "SIGTERM" | "SIGINT", listener: () => void): unknown;
}

export interface LifecycleOptions {
  readonly signals: SignalSource;
  readonly clock: Clock;
  readonly log: Log;
  /** For everything that is to be closed together. */
  readonly drainTimeoutMs: number;
}

/**
 * Opens with `open`, waits for a signal or for `stop` to abort, then disposes what was opened. Resolves to
 * whether everything was closed in time. Throws what `open` throws.
 */
export async function runUntilSignal(
  options: LifecycleOptions,
  open: (stop: AbortSignal) => Promise<AsyncDisposable>,
): Promise<{ readonly inTime: boolean }> {
  const stopping = new AbortController();
  const hurrying = new AbortController();
  const onSignal = (): void => {
    if (stopping.signal.aborted) hurrying.abort();
    else stopping.abort(new PosternError("aborted", "The process was asked to stop"));
  };
  options.signals.on("SIGTERM", onSignal);
  options.signals.on("SIGINT", onSignal);
  try {
    const opened = await open(stopping.signal);
    if (!stopping.signal.aborted) await once(stopping.signal, "abort");
    options.log.info("Stopping", { drainTimeoutMs: options.drainTimeoutMs });
    return await closeWithin(opened, hurrying, options);
  } finally {
    options.signals.off("SIGTERM", onSignal);
    options.signals.off("SIGINT", onSignal);
    hurrying.abort();
  }
}

async function closeWithin(
  opened: AsyncDisposable,
  hurrying: AbortController,
  options: LifecycleOptions,
): Promise<{ readonly inTime: boolean }> {
  const late = options.clock
    .sleep(options.drainTimeoutMs, hurrying.signal)
    .catch(() => undefined)
    .then(() => false);
  const closed = Promise.resolve(opened[Symbol.asyncDispose]()).then(
    () => true,
    (cause: unknown) => {
      options.log.error("Cannot close in order", { error: describe(cause) });
      return true;
    },
  );
  const inTime = await Promise.race([closed, late]);
  if (inTime) options.log.info("Stopped");
  else options.log.warn("Ended before everything was closed");
  return { inTime };
}
