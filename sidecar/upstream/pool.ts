/**
 * The connections to the application: as many as are in use and a few idle ones, never more than a maximum.
 * The connection used last is used next, so that those that nobody needs grow old and go. Who finds all of them
 * in use waits in a bounded queue, for a bounded time.
 */
import type { Clock } from "../../runtime/clock.ts";
import type { Deadlines } from "../deadlines.ts";
import type { UpstreamAddress } from "./address.ts";
import { UpstreamConnection } from "./connection.ts";
import type { UpstreamFailure } from "./failure.ts";
import { failure } from "./failure.ts";

export interface PoolLimits {
  /** In use and idle. */
  readonly maxConnections: number;
  /** Requests that may wait for a connection. */
  readonly maxWaiting: number;
  readonly waitMs: number;
}

/** A request that wants a connection; exactly one of the two is called, perhaps before `acquire` returns. */
export interface Claim {
  assigned(connection: UpstreamConnection): void;
  refused(failure: UpstreamFailure): void;
}

export interface PoolOptions {
  readonly address: UpstreamAddress;
  readonly limits: PoolLimits;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
}

/** More idle ones are closed at once. */
const MAX_IDLE = 256;
/** Below the 5 s after which common servers close an idle connection, so that we seldom meet a dying one. */
const IDLE_MS = 4_000;

interface Idle {
  readonly connection: UpstreamConnection;
  readonly sinceMs: number;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #all = new Set<UpstreamConnection>();
  /** The oldest first. */
  readonly #idle: Idle[] = [];
  /** In order of arrival, each with what disarms its deadline. */
  readonly #waiting = new Map<Claim, () => void>();
  #sweeping = false;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** `fresh`: a connection of its own, not one that has been idle. */
  acquire(claim: Claim, fresh = false): void {
    if (this.#closed) {
      claim.refused(failure("upstream.refused", "The sidecar is closing"));
      return;
    }
    const idle = fresh ? undefined : this.#takeIdle();
    if (idle !== undefined) {
      claim.assigned(idle);
      return;
    }
    const { maxConnections, maxWaiting, waitMs } = this.#options.limits;
    if (this.#all.size >= maxConnections && fresh) this.#idle[0]?.connection.destroy();
    if (this.#all.size < maxConnections) {
      claim.assigned(this.#open());
      return;
    }
    if (this.#waiting.size >= maxWaiting) {
      claim.refused(
        failure(
          "upstream.busy",
          `All ${maxConnections} connections are in use and ${maxWaiting} requests wait for one`,
        ),
      );
      return;
    }
    const disarm = this.#options.deadlines.arm(waitMs, () => {
      this.#waiting.delete(claim);
      claim.refused(failure("upstream.busy", `No connection came free within ${waitMs} ms`));
    });
    this.#waiting.set(claim, disarm);
  }

  /** Of a claim that still waits; otherwise nothing. */
  withdraw(claim: Claim): void {
    this.#waiting.get(claim)?.();
    this.#waiting.delete(claim);
  }

  get size(): number {
    return this.#all.size;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** At once: requests in flight fail. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const [claim, disarm] of this.#waiting) {
      disarm();
      claim.refused(failure("upstream.refused", "The sidecar is closing"));
    }
    this.#waiting.clear();
    for (const connection of this.#all) {
      connection.fail(failure("upstream.reset", "The sidecar closed the connection"));
    }
  }

  #open(): UpstreamConnection {
    const connection = new UpstreamConnection(this.#options.address, {
      released: () => {
        this.#release(connection);
      },
      closed: () => {
        this.#forget(connection);
      },
    });
    this.#all.add(connection);
    return connection;
  }

  /** After a clean exchange. */
  #release(connection: UpstreamConnection): void {
    const next = this.#nextWaiting();
    if (next !== undefined) {
      next.assigned(connection);
      return;
    }
    if (this.#idle.length >= MAX_IDLE || this.#closed) {
      connection.destroy();
      return;
    }
    this.#idle.push({ connection, sinceMs: this.#options.clock.now() });
    if (!this.#sweeping) this.#sweep(IDLE_MS);
  }

  #forget(connection: UpstreamConnection): void {
    this.#all.delete(connection);
    const index = this.#idle.findIndex((idle) => idle.connection === connection);
    if (index !== -1) this.#idle.splice(index, 1);
    if (this.#closed) return;
    const next = this.#nextWaiting();
    if (next !== undefined) next.assigned(this.#open());
  }

  #takeIdle(): UpstreamConnection | undefined {
    const newest = this.#idle.pop();
    if (newest === undefined) return undefined;
    // The sweep may be late.
    if (newest.sinceMs + IDLE_MS > this.#options.clock.now()) return newest.connection;
    newest.connection.destroy();
    for (const { connection } of this.#idle.splice(0)) connection.destroy();
    return undefined;
  }

  #nextWaiting(): Claim | undefined {
    for (const [claim, disarm] of this.#waiting) {
      disarm();
      this.#waiting.delete(claim);
      return claim;
    }
    return undefined;
  }

  #sweep(afterMs: number): void {
    this.#sweeping = true;
    this.#options.deadlines.arm(afterMs, () => {
      this.#sweeping = false;
      const now = this.#options.clock.now();
      while ((this.#idle[0]?.sinceMs ?? now) + IDLE_MS <= now) {
        this.#idle.shift()?.connection.destroy();
      }
      const oldest = this.#idle[0];
      if (oldest !== undefined) this.#sweep(oldest.sinceMs + IDLE_MS - now);
    });
  }
}
