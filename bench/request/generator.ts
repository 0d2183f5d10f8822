/**
 * The load generator's own process, so that neither the bench nor the proxy waits for it. Orders come over IPC:
 * - `closed`: each connection sends its next request when the last one is answered; for throughput.
 * - `open`: requests are due at a fixed rate, whatever the server does. Latency counts from when a request was due,
 *   not from when a connection was free for it, so a stall is felt by all that had to wait (coordinated omission).
 * - `hold`: many connections, one request on each, then idle until the next order.
 */
import { Caller } from "./caller.ts";
import type { Answer } from "./caller.ts";

export type Order = {
  readonly port: number;
  /** Whole requests as they go out, taken in turn. */
  readonly requests: readonly Uint8Array[];
  /** Every other answer is counted as wrong. */
  readonly statuses: readonly number[];
  readonly connections: number;
} & (
  | { readonly kind: "closed"; readonly seconds: number }
  | {
      readonly kind: "open";
      readonly seconds: number;
      readonly perSecond: number;
      /** So many of a thousand are aborted in flight. */
      readonly abortedPerMille?: number;
      /** Leaves latencies out: a soak has too many. */
      readonly countOnly?: boolean;
    }
  | { readonly kind: "hold" }
);

export interface Outcome {
  readonly answered: number;
  readonly wrong: number;
  readonly aborted: number;
  readonly seconds: number;
  readonly latenciesMs: Float64Array;
}

let held: Caller[] = [];

process.on("message", (order: Order) => {
  for (const caller of held) caller.abort();
  held = [];
  const job =
    order.kind === "closed" ? closed(order) : order.kind === "open" ? open(order) : hold(order);
  job.then(
    (outcome) => process.send?.(outcome),
    (error: unknown) => {
      throw error;
    },
  );
});
process.on("disconnect", () => process.exit(0));

function closed(order: Order & { readonly kind: "closed" }): Promise<Outcome> {
  const next = inTurn(order.requests);
  return new Promise((resolve) => {
    const sent = new Map<Caller, number>();
    const latencies: number[] = [];
    let wrong = 0;
    const began = performance.now();
    const ends = began + order.seconds * 1_000;
    const onAnswer = (caller: Caller, { status }: Answer): void => {
      const now = performance.now();
      latencies.push(now - (sent.get(caller) ?? now));
      if (!order.statuses.includes(status)) wrong += 1;
      if (now < ends) {
        sent.set(caller, now);
        caller.send(next());
        return;
      }
      caller.abort();
      sent.delete(caller);
      if (sent.size === 0) resolve(outcome({ latencies, wrong, aborted: 0, began }));
    };
    for (let index = 0; index < order.connections; index += 1) {
      const caller = new Caller(order.port, onAnswer);
      sent.set(caller, performance.now());
      caller.send(next());
    }
  });
}

function open(order: Order & { readonly kind: "open" }): Promise<Outcome> {
  const next = inTurn(order.requests);
  const total = Math.round(order.seconds * order.perSecond);
  const gapMs = 1_000 / order.perSecond;
  const abortShare = (order.abortedPerMille ?? 0) / 1_000;
  return new Promise((resolve) => {
    const free: Caller[] = [];
    const dueOf = new Map<Caller, number>();
    const waiting: number[] = []; // due, and no connection was free
    const latencies: number[] = [];
    let answered = 0;
    let wrong = 0;
    let aborted = 0;
    let issued = 0;
    const began = performance.now();
    const send = (caller: Caller, due: number): void => {
      dueOf.set(caller, due);
      caller.send(next());
      if (abortShare > 0 && Math.random() < abortShare) {
        aborted += 1;
        setImmediate(() => {
          caller.abort();
          release(caller);
        });
      }
    };
    const release = (caller: Caller): void => {
      if (!dueOf.delete(caller)) return;
      const due = waiting.shift();
      if (due === undefined) free.push(caller);
      else send(caller, due);
    };
    const onAnswer = (caller: Caller, { status }: Answer): void => {
      answered += 1;
      if (order.countOnly !== true) {
        latencies.push(performance.now() - (dueOf.get(caller) ?? Number.NaN));
      }
      if (!order.statuses.includes(status)) wrong += 1;
      release(caller);
    };
    for (let index = 0; index < order.connections; index += 1) {
      free.push(new Caller(order.port, onAnswer));
    }
    // Timers fire on whole milliseconds, which is longer than what is measured: it looks at the clock all the time.
    const tick = (): void => {
      const now = performance.now();
      while (issued < total && began + issued * gapMs <= now) {
        const due = began + issued * gapMs;
        issued += 1;
        const caller = free.pop();
        if (caller === undefined) waiting.push(due);
        else send(caller, due);
      }
      if (issued < total || dueOf.size > 0) {
        if (order.countOnly === true) setTimeout(tick, 1);
        else setImmediate(tick);
        return;
      }
      for (const caller of free) caller.abort();
      resolve({ ...outcome({ latencies, wrong, aborted, began }), answered });
    };
    tick();
  });
}

/** In small steps: a listen backlog is bounded, and connecting is not what is measured. */
async function hold(order: Order & { readonly kind: "hold" }): Promise<Outcome> {
  const next = inTurn(order.requests);
  const began = performance.now();
  let wrong = 0;
  while (held.length < order.connections) {
    const step = Math.min(100, order.connections - held.length);
    await Promise.all(
      Array.from({ length: step }, async () => {
        const { promise, resolve } = Promise.withResolvers<number>();
        const caller = new Caller(order.port, (_caller, { status }) => resolve(status));
        held.push(caller);
        caller.send(next());
        if (!order.statuses.includes(await promise)) wrong += 1;
      }),
    );
  }
  return { ...outcome({ latencies: [], wrong, aborted: 0, began }), answered: held.length };
}

function inTurn(requests: readonly Uint8Array[]): () => Buffer {
  const buffers = requests.map((bytes) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  );
  let index = -1;
  return () => {
    index = index + 1 === buffers.length ? 0 : index + 1;
    return buffers[index] ?? Buffer.alloc(0);
  };
}

function outcome(counted: {
  readonly latencies: readonly number[];
  readonly wrong: number;
  readonly aborted: number;
  readonly began: number;
}): Outcome {
  return {
    answered: counted.latencies.length,
    wrong: counted.wrong,
    aborted: counted.aborted,
    seconds: (performance.now() - counted.began) / 1_000,
    latenciesMs: Float64Array.from(counted.latencies),
  };
}
