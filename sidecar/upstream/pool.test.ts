/** Connections are reused, bounded, and let go; who has to wait waits in order, and not for ever. */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { recordingUpstream } from "../../test/support/upstream.ts";
import type { RecordingUpstream } from "../../test/support/upstream.ts";
import { waitFor } from "../../test/support/wait.ts";
import { ManualClock } from "../../runtime/clock.ts";
import { Deadlines } from "../deadlines.ts";
import type { Call, UpstreamConnection } from "./connection.ts";
import type { UpstreamFailure } from "./failure.ts";
import type { Claim, PoolLimits } from "./pool.ts";
import { Pool } from "./pool.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

let upstream: RecordingUpstream;
let clock: ManualClock;
let deadlines: Deadlines;
let pool: Pool;

beforeEach(async () => {
  upstream = await recordingUpstream();
  clock = new ManualClock();
  deadlines = new Deadlines(clock);
});

afterEach(async () => {
  pool.close();
  deadlines.close();
  await upstream.close();
});

function open(limits: Partial<PoolLimits> = {}): void {
  pool = new Pool({
    address: { host: upstream.host, port: upstream.port },
    limits: { maxConnections: 2, maxWaiting: 2, waitMs: 1_000, ...limits },
    deadlines,
    clock,
  });
}

interface Asked {
  readonly claim: Claim;
  readonly connection: () => UpstreamConnection | undefined;
  readonly refused: () => UpstreamFailure | undefined;
}

function ask(fresh = false): Asked {
  let connection: UpstreamConnection | undefined;
  let refused: UpstreamFailure | undefined;
  const claim: Claim = {
    assigned: (given) => {
      connection = given;
    },
    refused: (failure) => {
      refused = failure;
    },
  };
  pool.acquire(claim, fresh);
  return { claim, connection: () => connection, refused: () => refused };
}

/** A whole exchange; resolves when it has ended, one way or the other. */
function exchange(connection: UpstreamConnection | undefined): Promise<"end" | UpstreamFailure> {
  if (connection === undefined) throw new TypeError("Cannot exchange: no connection was assigned");
  return new Promise((resolve) => {
    const call: Call = {
      connected: () => undefined,
      head: () => undefined,
      body: () => true,
      end: () => resolve("end"),
      drained: () => undefined,
      failed: resolve,
    };
    connection.begin(call, { isHead: false });
    connection.endRequest();
    connection.write(REQUEST);
  });
}

describe("a pool", () => {
  test("gives the connection that was used last, and opens no other while one is idle", async () => {
    open();
    const first = ask();
    const second = ask();
    await exchange(first.connection());
    await exchange(second.connection());
    expect({ size: pool.size, idle: pool.idle }).toEqual({ size: 2, idle: 2 });
    expect(ask().connection()).toBe(second.connection());
    expect(ask().connection()).toBe(first.connection());
    expect({ size: pool.size, idle: pool.idle }).toEqual({ size: 2, idle: 0 });
  });

  test("opens one of its own for who asks for it, at the cost of the idlest", async () => {
    open({ maxConnections: 1 });
    const first = ask();
    await exchange(first.connection());
    const fresh = ask(true);
    expect(fresh.connection()).toBeDefined();
    expect(fresh.connection()).not.toBe(first.connection());
    expect(await exchange(fresh.connection())).toBe("end");
    expect(pool.size).toBe(1);
  });

  test("lets an idle connection go before common servers do", async () => {
    open();
    await exchange(ask().connection());
    await clock.advance(3_900);
    expect(pool.idle).toBe(1);
    await clock.advance(200);
    expect({ size: pool.size, idle: pool.idle }).toEqual({ size: 0, idle: 0 });
    await waitFor("the connection to end", () => upstream.connections === 0);
  });

  test("never gives a connection that is idle for too long, were the sweep ever so late", async () => {
    open();
    const first = ask();
    await exchange(first.connection());
    deadlines.close();
    await clock.advance(4_000);
    expect(pool.idle).toBe(1);
    expect(ask().connection()).not.toBe(first.connection());
    await waitFor("the old one to end", () => upstream.connections === 1);
  });

  test("forgets a connection that the other side has closed while it was idle", async () => {
    open();
    upstream.answer = (_request, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", () => socket.end());
    };
    await exchange(ask().connection());
    await waitFor("the pool to be empty", () => pool.size === 0);
    expect(pool.idle).toBe(0);
  });

  test("holds a bounded number of idle connections", async () => {
    open({ maxConnections: 300 });
    const asked = Array.from({ length: 300 }, () => ask());
    await Promise.all(asked.map(({ connection }) => exchange(connection())));
    expect({ size: pool.size, idle: pool.idle }).toEqual({ size: 256, idle: 256 });
    await waitFor("the others to end", () => upstream.connections === 256);
  });
});

describe("a pool all of whose connections are in use", () => {
  test("lets others wait, and serves them in order", async () => {
    open({ maxConnections: 1 });
    const first = ask();
    const second = ask();
    const third = ask();
    expect({ size: pool.size, waiting: pool.waiting }).toEqual({ size: 1, waiting: 2 });
    await exchange(first.connection());
    expect(second.connection()).toBe(first.connection());
    expect(third.connection()).toBeUndefined();
    await exchange(second.connection());
    expect(third.connection()).toBe(first.connection());
    expect({ size: pool.size, waiting: pool.waiting }).toEqual({ size: 1, waiting: 0 });
    expect(upstream.requests).toHaveLength(2);
  });

  test("opens one for who waits when another one breaks", async () => {
    open({ maxConnections: 1 });
    upstream.answer = (_request, socket) => socket.destroy();
    const first = ask();
    const second = ask();
    await exchange(first.connection());
    expect(second.connection()).toBeDefined();
    expect(second.connection()).not.toBe(first.connection());
    expect(pool.size).toBe(1);
  });

  test("refuses who waits for too long, and who finds the queue full", async () => {
    open({ maxConnections: 1 });
    ask();
    const waiting = [ask(), ask()];
    expect(ask().refused()).toMatchObject({ code: "upstream.busy" });
    await clock.advance(900);
    expect(waiting.map(({ refused }) => refused())).toEqual([undefined, undefined]);
    await clock.advance(200);
    for (const { refused } of waiting) expect(refused()).toMatchObject({ code: "upstream.busy" });
    expect(pool.waiting).toBe(0);
  });

  test("forgets who has stopped waiting", async () => {
    open({ maxConnections: 1 });
    const first = ask();
    const gone = ask();
    const patient = ask();
    pool.withdraw(gone.claim);
    await exchange(first.connection());
    expect(gone.connection()).toBeUndefined();
    expect(patient.connection()).toBe(first.connection());
    await clock.advance(5_000);
    expect(gone.refused()).toBeUndefined();
  });
});

describe("close()", () => {
  test("ends all connections, tells who waits, and opens no more", async () => {
    open({ maxConnections: 1 });
    upstream.answer = () => undefined;
    const first = ask();
    const over = exchange(first.connection());
    await upstream.request(0);
    const second = ask();
    pool.close();
    expect(second.refused()).toMatchObject({ code: "upstream.refused" });
    expect(ask().refused()).toMatchObject({ code: "upstream.refused" });
    expect(pool.size).toBe(0);
    expect(await over).toMatchObject({ code: "upstream.reset" });
    await waitFor("the connection to end", () => upstream.connections === 0);
  });
});
