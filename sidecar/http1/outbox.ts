/**
 * What is to be sent on a connection, gathered over a turn: a head and a small body go out as one write. Holds
 * what one turn brings and no more; whether there is room for more is the socket's to say.
 */
import type { Socket } from "node:net";

/** Sent without waiting for the turn's end. */
const GATHER_BYTES = 64 * 1024;
/** Up to here, copying into one buffer is cheaper than a write of several. */
const COPY_BYTES = 16 * 1024;

export class Outbox {
  readonly #socket: Socket;
  #pieces: (string | Uint8Array)[] = [];
  #bytes = 0;
  #isScheduled = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Latin-1 text, or bytes that nobody changes any more. */
  send(data: string | Uint8Array): void {
    this.#pieces.push(data);
    this.#bytes += data.length;
    if (this.#bytes >= GATHER_BYTES) this.flush();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      process.nextTick(flushNow, this);
    }
  }

  /** `onSent`: the system has taken all of it, or never will. */
  flush(onSent?: () => void): void {
    this.#isScheduled = false;
    const pieces = this.#pieces;
    const socket = this.#socket;
    if (pieces.length === 0 || !socket.writable) {
      this.#pieces = [];
      this.#bytes = 0;
      if (onSent !== undefined) process.nextTick(onSent);
      return;
    }
    if (this.#bytes <= COPY_BYTES) socket.write(this.#join(), onSent);
    else {
      socket.cork();
      const last = pieces.length - 1;
      for (const [index, piece] of pieces.entries()) {
        const done = index === last ? onSent : undefined;
        if (typeof piece === "string") socket.write(piece, "latin1", done);
        else socket.write(piece, done);
      }
      socket.uncork();
    }
    this.#pieces = [];
    this.#bytes = 0;
  }

  #join(): Buffer {
    const whole = Buffer.allocUnsafe(this.#bytes);
    let at = 0;
    for (const piece of this.#pieces) {
      if (typeof piece === "string") whole.write(piece, at, "latin1");
      else whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}

function flushNow(outbox: Outbox): void {
  outbox.flush();
}
