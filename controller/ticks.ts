/**
 * "Look again": a signal without content, for level-based loops. However many ticks a slow reader missed, it
 * gets one; it never misses the last.
 */
import type { Clock } from "../runtime/clock.ts";

export interface Ticks {
  tick(): void;
  /** One value after each burst of ticks, until the signal. */
  each(signal: AbortSignal): AsyncIterable<void>;
}

export function createTicks(): Ticks {
  const wakers = new Set<() => void>();
  return {
    tick() {
      for (const wake of wakers) wake();
    },
    each(signal) {
      // Registered here and not at the first `next()`, so that no tick falls between the two.
      let pending = false;
      let resume: (() => void) | undefined;
      const wake = (): void => {
        pending = true;
        resume?.();
      };
      wakers.add(wake);
      const end = (): void => {
        wakers.delete(wake);
        resume?.();
      };
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
      return {
        async *[Symbol.asyncIterator]() {
          while (!signal.aborted) {
            if (!pending) {
              await new Promise<void>((resolve) => {
                resume = resolve;
              });
              resume = undefined;
              continue;
            }
            pending = false;
            yield;
          }
        },
      };
    },
  };
}

export interface Bell {
  ring(): void;
  /** Forgets that it rang. */
  clear(): void;
  /**
   * Resolves at the next ring, or at once when it rang since the last wait, or after `ms`, or with the signal;
   * to whether it rang.
   */
  wait(ms: number, clock: Pick<Clock, "sleep">, signal: AbortSignal): Promise<boolean>;
}

/** For one loop that sleeps until something happens, or until it is time. */
export function createBell(): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    clear() {
      rung = false;
    },
    async wait(ms, clock, signal) {
      if (!rung && !signal.aborted) {
        const cancel = new AbortController();
        await new Promise<void>((resolve) => {
          wake = resolve;
          clock.sleep(ms, AbortSignal.any([signal, cancel.signal])).then(resolve, resolve);
        });
        wake = undefined;
        cancel.abort();
      }
      const result = rung;
      rung = false;
      return result;
    },
  };
}
