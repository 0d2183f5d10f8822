/** Waits for what can be observed and has no event of its own. Where there is an event, wait for the event. */

export interface WaitOptions {
  readonly withinMs?: number;
  readonly everyMs?: number;
}

/** Resolves with the first value that is not undefined or false; fails with `what` when the time is over. */
export async function waitFor<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + (options.withinMs ?? 10_000);
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`Waited too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 10));
  }
}

/** The next value of an iterator; fails with `what` when none comes in time. */
export async function nextOf<T>(
  iterator: AsyncIterator<T>,
  what: string,
  withinMs = 10_000,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited too long: ${what}`)), withinMs);
  });
  try {
    const result = await Promise.race([iterator.next(), late]);
    if (result.done === true) throw new Error(`Ended before its time: ${what}`);
    return result.value;
  } finally {
    clearTimeout(timer);
  }
}
