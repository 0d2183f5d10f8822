/**
 * One client connection that sends prepared bytes and reads answers as cheaply as can be: it looks for the head's
 * end and for the length, and trusts what it reads. It measures servers that answer properly; what is not a plain
 * answer counts as wrong. Reconnects by itself.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

export interface Answer {
  /** 0: the connection ended without one. */
  readonly status: number;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const LAST_CHUNK = Buffer.from("0\r\n\r\n");

export class Caller {
  readonly #port: number;
  readonly #onAnswer: (caller: Caller, answer: Answer) => void;
  #socket: Socket | undefined;
  #waiting = false;
  #head: Buffer | undefined;
  #status = 0;
  /** Of the body, in bytes; -1 for a chunked one, whose end is looked for. */
  #left = 0;
  #closing = false;

  constructor(port: number, onAnswer: (caller: Caller, answer: Answer) => void) {
    this.#port = port;
    this.#onAnswer = onAnswer;
  }

  send(bytes: Buffer): void {
    this.#waiting = true;
    this.#head = undefined;
    this.#status = 0;
    this.#closing = false;
    this.#socket ??= this.#connect();
    this.#socket.write(bytes);
  }

  /** As a caller that loses patience: without a word, whatever is in flight. */
  abort(): void {
    this.#waiting = false;
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #connect(): Socket {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    socket.on("data", (chunk) => {
      if (socket === this.#socket && this.#waiting) this.#read(chunk);
    });
    socket.on("error", () => undefined); // `close` follows
    socket.on("close", () => {
      if (socket !== this.#socket) return;
      this.#socket = undefined;
      if (this.#waiting) this.#done(0);
    });
    return socket;
  }

  #read(chunk: Buffer): void {
    if (this.#status !== 0) return this.#body(chunk, 0);
    const bytes = this.#head === undefined ? chunk : Buffer.concat([this.#head, chunk]);
    const end = bytes.indexOf(HEAD_END);
    if (end === -1) {
      this.#head = bytes;
      return undefined;
    }
    const head = bytes.toString("latin1", 0, end).toLowerCase();
    this.#status = Number(head.slice(9, 12));
    this.#closing = head.includes("\r\nconnection: close");
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    this.#left = length === undefined ? -1 : Number(length);
    return this.#body(bytes, end + HEAD_END.length);
  }

  #body(bytes: Buffer, from: number): void {
    if (this.#left === -1) {
      if (!bytes.subarray(Math.max(from, bytes.length - LAST_CHUNK.length)).equals(LAST_CHUNK)) {
        return;
      }
    } else {
      this.#left -= bytes.length - from;
      if (this.#left > 0) return;
    }
    if (this.#closing) {
      this.#socket?.destroy();
      this.#socket = undefined;
    }
    this.#done(this.#status);
  }

  #done(status: number): void {
    this.#waiting = false;
    this.#onAnswer(this, { status });
  }
}
