/**
 * "Look again": a signal without content, for level-based loops. However many ticks a slow reader missed, it
 * gets one; it never misses the last.
 */

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
