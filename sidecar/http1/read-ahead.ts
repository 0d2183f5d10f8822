/**
 * Bytes that have come before anybody could take them: those behind the present request, or of a body that
 * the application takes slowly. Bounded; beyond that the socket is not read, so the caller has to wait. Below
 * it the socket is read, so that a caller who leaves is noticed.
 */
import type { Socket } from "node:net";

const MAX_BYTES = 64 * 1024;
/** Pieces have a cost of their own. */
const MAX_PIECES = 64;

export class ReadAhead {
  readonly #socket: Socket;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isWaiting = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get has(): boolean {
    return this.#pieces.length > 0;
  }

  add(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (!this.#isWaiting && (this.#bytes > MAX_BYTES || this.#pieces.length > MAX_PIECES)) {
      this.#isWaiting = true;
      this.#socket.pause();
    }
  }

  /** In front of all others. */
  putBack(bytes: Buffer): void {
    this.#pieces.unshift(bytes);
    this.#bytes += bytes.length;
  }

  take(): Buffer | undefined {
    const bytes = this.#pieces.shift();
    this.#bytes -= bytes?.length ?? 0;
    if (this.#pieces.length === 0) this.#readOn();
    return bytes;
  }

  clear(): void {
    this.#pieces = [];
    this.#bytes = 0;
    this.#readOn();
  }

  #readOn(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#socket.resume();
  }
}
