/**
 * Where an answer's body goes: framed and handed to the connection, which gathers what belongs together into
 * one write. A whole stream of Node would cost as much as the rest of the answer; this is what `pipe` needs.
 */
import { EventEmitter } from "node:events";

export interface BodyTarget {
  /** False: wait for "drain". */
  writeBody(bytes: Uint8Array): boolean;
  endBody(): void;
}

export class AnswerBody extends EventEmitter implements NodeJS.WritableStream {
  readonly #target: BodyTarget;
  writable = true;

  constructor(target: BodyTarget) {
    super();
    this.#target = target;
  }

  write(chunk: Uint8Array | string): boolean {
    if (!this.writable) return false;
    return this.#target.writeBody(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }

  end(last?: Uint8Array | string | (() => void)): this {
    if (!this.writable) return this;
    if (last !== undefined && typeof last !== "function" && last.length > 0) this.write(last);
    this.writable = false;
    this.#target.endBody();
    return this;
  }
}
