/**
 * One connection of a caller: its requests are served one after the other, and none after an answer that ends
 * it. Node would serve pipelined requests side by side, and those behind a refused one as well.
 */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** Requests that may wait behind a slow one; a caller with more of them loses the connection. */
const MAX_WAITING = 64;

interface Waiting {
  readonly response: ServerResponse;
  /** Resolves when it is answered. */
  readonly serve: () => Promise<void>;
}

export class Connection {
  readonly #socket: Duplex;
  readonly #waiting: Waiting[] = [];
  #serving: Waiting | undefined;
  #refused = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  enqueue(response: ServerResponse, serve: () => Promise<void>): void {
    if (this.#refused) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#socket.destroy();
      return;
    }
    this.#waiting.push({ response, serve });
    if (this.#serving === undefined) void this.#run();
  }

  /** No request behind the present one is served: where it would begin is not certain. */
  endAfterPresent(): void {
    this.#refused = true;
    this.#waiting.length = 0;
  }

  get isServing(): boolean {
    return this.#serving !== undefined;
  }

  /**
   * What can still be said when the parser has lost its way. `nothing`: an answer is under way, or others are
   * owed first. `present`: the refusal being sent is the answer.
   */
  get sayable(): "anything" | "present" | "nothing" {
    if (this.#serving === undefined) return "anything";
    if (this.#refused) return "present";
    return this.#waiting.length === 0 && !this.#serving.response.headersSent
      ? "anything"
      : "nothing";
  }

  async #run(): Promise<void> {
    for (;;) {
      const next = this.#waiting.shift();
      this.#serving = next;
      if (next === undefined || this.#socket.destroyed) break;
      try {
        await next.serve();
      } catch {
        // serve() tells what goes wrong by itself; what it cannot tell must not leave a caller waiting.
        this.#socket.destroy();
      }
      await closed(next.response);
    }
    this.#serving = undefined;
  }
}

function closed(response: ServerResponse): Promise<void> {
  if (response.closed || response.destroyed) return Promise.resolve();
  return new Promise((resolve) => response.once("close", resolve));
}
