/**
 * A caller's body on its way to the application, framed as the caller framed it and never held: when the
 * application takes no more, nothing more is read from the caller. A body that broke off never looks whole.
 */
import type { Readable } from "node:stream";
import type { Framing } from "../exchange.ts";
import type { UpstreamConnection } from "./connection.ts";
import { LAST_CHUNK, chunkHead } from "./request-bytes.ts";

export interface RequestBodyEvents {
  /** All of it was written. */
  onDone(): void;
  /** The caller's connection ended first. */
  onBroken(): void;
}

export class RequestBody {
  readonly #source: Readable;
  readonly #framing: Framing;
  readonly #connection: UpstreamConnection;
  readonly #events: RequestBodyEvents;
  #state: "moving" | "blocked" | "over" = "moving";
  #taken = 0;

  constructor(
    source: Readable,
    framing: Framing,
    connection: UpstreamConnection,
    events: RequestBodyEvents,
  ) {
    this.#source = source;
    this.#framing = framing;
    this.#connection = connection;
    this.#events = events;
    source.on("error", this.#onBroken);
    source.on("close", this.#onBroken);
    source.on("end", this.#onEnd);
    source.on("data", this.#onData);
  }

  /** Bytes from the caller; grows while the body moves. */
  get taken(): number {
    return this.#taken;
  }

  /** It is the application that does not take what is there. */
  get isBlocked(): boolean {
    return this.#state === "blocked";
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  drained(): void {
    if (this.#state !== "blocked") return;
    this.#state = "moving";
    this.#source.resume();
  }

  /** Takes nothing more. Idempotent. */
  stop(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#source.removeListener("data", this.#onData);
    this.#source.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state === "over") return;
    this.#taken += chunk.length;
    if (this.#framing.kind === "length" && this.#taken > this.#framing.bytes) {
      // The rest would be taken for another request.
      this.#onBroken();
      return;
    }
    if (!this.#write(chunk)) {
      this.#state = "blocked";
      this.#source.pause();
    }
  };

  #write(chunk: Buffer): boolean {
    if (this.#framing.kind !== "chunked") return this.#connection.write(chunk);
    // An empty chunk would be the last one.
    if (chunk.length === 0) return true;
    this.#connection.write(chunkHead(chunk.length));
    this.#connection.write(chunk);
    return this.#connection.write("\r\n");
  }

  readonly #onEnd = (): void => {
    if (this.#state === "over") return;
    if (this.#framing.kind === "length" && this.#taken !== this.#framing.bytes) {
      this.#onBroken();
      return;
    }
    this.#state = "over";
    if (this.#framing.kind === "chunked") this.#connection.write(LAST_CHUNK);
    this.#events.onDone();
  };

  readonly #onBroken = (): void => {
    if (this.#state === "over") return;
    this.stop();
    this.#events.onBroken();
  };
}
