/**
 * One connection to NATS that comes back for ever. Its life is a row of epochs: each begins when a server has
 * answered and ends when that connection is lost. Whatever must be set up again after a loss hangs on an epoch.
 */
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { backoff } from "../backoff.ts";
import { BoundedQueue } from "../bounded-queue.ts";
import { PosternError, describe } from "../error.ts";
import type { BusState } from "./bus.ts";
import { busError } from "./nats-errors.ts";
import { connectionOptions } from "./nats-options.ts";
import type { NatsOptions } from "./nats-options.ts";

const FIRST_CONNECT_BACKOFF = { firstMs: 100, maxMs: 3_000 } as const;
const DRAIN_MS = 2_000;

export interface Epoch {
  readonly nc: NatsConnection;
  /** Aborts when this connection is lost, or the link closes. */
  readonly signal: AbortSignal;
}

export class NatsLink {
  readonly #options: NatsOptions;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(epoch: Epoch | undefined) => void>();
  readonly #running: Promise<void>;
  #epoch: Epoch | undefined;
  #endEpoch: (() => void) | undefined;
  #closed: Promise<void> | undefined;
  #nc: NatsConnection | undefined;

  constructor(options: NatsOptions) {
    this.#options = options;
    this.#running = this.#run();
    const close = (): void => void this.close();
    if (options.signal.aborted) close();
    else options.signal.addEventListener("abort", close, { once: true });
  }

  get epoch(): Epoch | undefined {
    return this.#epoch;
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The present epoch and each one to come (undefined: disconnected), until the signal. */
  onEpoch(act: (epoch: Epoch | undefined) => void, signal: AbortSignal): void {
    if (signal.aborted || this.closing.aborted) return;
    this.#listeners.add(act);
    signal.addEventListener("abort", () => this.#listeners.delete(act), { once: true });
    act(this.#epoch);
  }

  /** The newest epoch first, then each one that follows; ends with the signal or with the link. */
  epochs(signal: AbortSignal): AsyncIterable<Epoch> {
    const queue = new BoundedQueue<Epoch>({ capacity: 1, drop: "oldest" });
    const end = AbortSignal.any([signal, this.closing]);
    if (end.aborted) queue.end();
    end.addEventListener("abort", () => queue.end(), { once: true });
    this.onEpoch((epoch) => epoch !== undefined && queue.push(epoch), end);
    return queue;
  }

  states(signal: AbortSignal): AsyncIterable<BusState> {
    const queue = new BoundedQueue<BusState>({ capacity: 16, drop: "oldest" });
    const end = AbortSignal.any([signal, this.closing]);
    if (end.aborted) queue.end();
    end.addEventListener("abort", () => queue.end(), { once: true });
    this.onEpoch((epoch) => queue.push(epoch === undefined ? "disconnected" : "connected"), end);
    return queue;
  }

  /** Runs one exchange with the server; refuses at once while disconnected, and when the connection is lost. */
  async exchange<T>(
    action: string,
    signal: AbortSignal | undefined,
    act: (epoch: Epoch) => Promise<T>,
  ): Promise<T> {
    const epoch = this.#epoch;
    if (signal?.aborted === true) {
      throw new PosternError("aborted", `Cannot ${action}: aborted`, { cause: signal.reason });
    }
    if (epoch === undefined) {
      throw new PosternError("bus.unavailable", `Cannot ${action}: not connected to NATS`);
    }
    const { promise: lost, reject } = Promise.withResolvers<never>();
    const onLost = (): void =>
      reject(new PosternError("bus.unavailable", `Cannot ${action}: connection to NATS lost`));
    const onAbort = (): void =>
      reject(new PosternError("aborted", `Cannot ${action}: aborted`, { cause: signal?.reason }));
    epoch.signal.addEventListener("abort", onLost, { once: true });
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([act(epoch), lost]);
    } catch (cause) {
      throw busError(action, cause);
    } finally {
      epoch.signal.removeEventListener("abort", onLost);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Sends what is still to be sent, within two seconds, then closes. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const nc = this.#nc;
    if (this.#epoch !== undefined && nc !== undefined) {
      const flushed = new AbortController();
      const deadline = this.#options.clock.sleep(DRAIN_MS, flushed.signal);
      // Lost, or over time: then nothing more can be sent, and we close all the same.
      await Promise.race([nc.flush(), deadline]).catch(() => undefined);
      deadline.catch(() => undefined);
      flushed.abort();
    }
    this.#closing.abort(new PosternError("aborted", "The connection to NATS was closed"));
    this.#end();
    await nc?.close();
    await this.#running;
    this.#listeners.clear();
  }

  async #run(): Promise<void> {
    while (!this.closing.aborted) {
      const nc = await this.#connect();
      if (nc === undefined) return;
      this.#nc = nc;
      await this.#serve(nc);
    }
  }

  async #connect(): Promise<NatsConnection | undefined> {
    const { log, clock } = this.#options;
    const attempts = backoff({ ...FIRST_CONNECT_BACKOFF, clock, signal: this.closing });
    for await (const attempt of attempts) {
      try {
        const nc = await connect(connectionOptions(this.#options));
        if (!this.closing.aborted) return nc;
        await nc.close();
      } catch (cause) {
        // Once is news, a thousand times is noise.
        const level = attempt === 0 ? "warn" : "debug";
        log[level]("NATS does not answer; trying on", {
          servers: this.#options.servers,
          error: describe(cause),
        });
      }
    }
    return undefined;
  }

  async #serve(nc: NatsConnection): Promise<void> {
    if (!this.closing.aborted) this.#begin(nc);
    for await (const status of nc.status()) {
      switch (status.type) {
        case "disconnect":
          this.#end();
          break;
        case "reconnect":
          if (!this.closing.aborted) this.#begin(nc);
          break;
        case "error":
          this.#options.log.warn("NATS reports an error", { error: describe(status.error) });
          break;
        case "close":
        case "forceReconnect":
        case "ldm":
        case "ping":
        case "reconnecting":
        case "slowConsumer":
        case "staleConnection":
        case "update":
          break;
      }
    }
    await nc.closed();
    this.#end();
  }

  #begin(nc: NatsConnection): void {
    this.#endEpoch?.();
    const control = new AbortController();
    this.#endEpoch = () =>
      control.abort(new PosternError("bus.unavailable", "Connection to NATS lost"));
    this.#epoch = { nc, signal: control.signal };
    this.#options.log.info("Connected to NATS", { server: nc.getServer() });
    this.#tell();
  }

  #end(): void {
    if (this.#epoch === undefined) return;
    this.#epoch = undefined;
    this.#endEpoch?.();
    if (!this.closing.aborted) this.#options.log.warn("Lost the connection to NATS; trying on");
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener(this.#epoch);
  }
}
