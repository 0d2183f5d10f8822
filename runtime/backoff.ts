/**
 * How long to wait before trying again: exponential with full jitter, so that a thousand processes that lost
 * the same server do not come back in the same instant.
 */
import type { Clock } from "./clock.ts";

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** In [0, 1); for tests. */
  readonly random?: () => number;
}

/** The delay before attempt `attempt` (0 is the first retry): between half of the exponential step and all of it. */
export function backoffDelayMs(attempt: number, options: BackoffOptions): number {
  const step = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(attempt, 30));
  const random = options.random ?? Math.random;
  return Math.round(step / 2 + (step / 2) * random());
}

/**
 * Yields the number of the attempt at once, then after each wait; ends when the signal aborts.
 * `for await (const attempt of backoff(…)) { if (await tryIt()) break; }`
 */
export async function* backoff(
  options: BackoffOptions & { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<number, void, void> {
  for (let attempt = 0; !options.signal.aborted; attempt += 1) {
    yield attempt;
    try {
      await options.clock.sleep(backoffDelayMs(attempt, options), options.signal);
    } catch (cause) {
      if (options.signal.aborted) return;
      throw cause;
    }
  }
}
