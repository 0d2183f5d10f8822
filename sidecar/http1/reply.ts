/**
 * The Reply of an exchange over HTTP/1.1: one head, then the body with its framing. Bytes beyond the announced
 * length, or an end before it, break the connection: a caller never sees the one answer run into the next.
 */
import type { HeaderLine, Reply, ReplyHead } from "../exchange.ts";
import type { BodyTarget } from "./answer-body.ts";
import { AnswerBody } from "./answer-body.ts";
import type { BodyEnd } from "./response-head.ts";
import { frameHead, trailerText } from "./response-head.ts";

/** What a reply needs of its connection. */
export interface ReplyConnection {
  /** Sends soon, together with what else comes in this turn. Latin-1 text, or bytes. */
  send(data: string | Uint8Array): void;
  /** More than enough is waiting to be sent. */
  readonly isFull: boolean;
  /** The answer is complete. `close`: the connection ends with it. */
  answered(close: boolean): void;
  /** At once, so that the caller sees that something is missing. */
  abort(): void;
}

/** What the answers of one server share. */
export interface ReplyLines {
  /** No answer may say any more that another one follows. */
  readonly isDraining: boolean;
  /** The line `Date`, and what is said of a connection that stays. */
  readonly date: string;
  readonly keepAliveLines: string;
}

export class Http1Reply implements Reply, BodyTarget {
  readonly #connection: ReplyConnection;
  readonly #lines: ReplyLines;
  readonly #isHead: boolean;
  readonly #isHttp10: boolean;
  #keepAlive: boolean;
  #status = 0;
  #bodyEnd: BodyEnd = "none";
  #remaining = 0;
  #trailers = "";
  #body: AnswerBody | undefined;
  /** Undefined: still open. */
  #completed: boolean | undefined;
  #listeners: ((completed: boolean) => void)[] | undefined;

  constructor(
    connection: ReplyConnection,
    lines: ReplyLines,
    request: { readonly isHead: boolean; readonly isHttp10: boolean; readonly keepAlive: boolean },
  ) {
    this.#connection = connection;
    this.#lines = lines;
    this.#isHead = request.isHead;
    this.#isHttp10 = request.isHttp10;
    this.#keepAlive = request.keepAlive;
  }

  get begun(): boolean {
    return this.#status !== 0;
  }

  get status(): number {
    return this.#status;
  }

  get body(): AnswerBody {
    this.#body ??= new AnswerBody(this);
    return this.#body;
  }

  proceed(): void {
    if (this.#completed === undefined && !this.begun) {
      this.#connection.send("HTTP/1.1 100 Continue\r\n\r\n");
    }
  }

  head(head: ReplyHead): void {
    this.#begin(head, false);
  }

  trailers(lines: readonly HeaderLine[]): void {
    const text = trailerText(lines);
    if (this.#bodyEnd === "chunks") this.#trailers += text;
  }

  answer(head: ReplyHead, body: Uint8Array, close: boolean): void {
    this.#begin(head, close);
    if (body.length > 0) this.writeBody(body);
    this.endBody();
  }

  cut(): void {
    this.#connection.abort();
  }

  onClosed(listener: (completed: boolean) => void): void {
    if (this.#completed === undefined) (this.#listeners ??= []).push(listener);
    // The caller may have gone while the decision was made.
    else listener(this.#completed);
  }

  writeBody(bytes: Uint8Array): boolean {
    if (this.#completed !== undefined) return false;
    switch (this.#bodyEnd) {
      case "none":
        return true;
      case "length":
        this.#remaining -= bytes.length;
        if (this.#remaining < 0) {
          this.#connection.abort();
          return false;
        }
        this.#connection.send(bytes);
        break;
      case "chunks":
        // An empty chunk would be the last one.
        if (bytes.length === 0) return true;
        this.#connection.send(`${bytes.length.toString(16)}\r\n`);
        this.#connection.send(bytes);
        this.#connection.send("\r\n");
        break;
      case "close":
        this.#connection.send(bytes);
        break;
    }
    return !this.#connection.isFull;
  }

  endBody(): void {
    if (this.#completed !== undefined) return;
    if (!this.begun || (this.#bodyEnd === "length" && this.#remaining !== 0)) {
      this.#connection.abort();
      return;
    }
    if (this.#bodyEnd === "chunks") this.#connection.send(`0\r\n${this.#trailers}\r\n`);
    this.#connection.answered(!this.#keepAlive);
  }

  /** There is room again. */
  drained(): void {
    this.#body?.emit("drain");
  }

  /** Once: the exchange is over for the caller. */
  closed(completed: boolean): void {
    if (this.#completed !== undefined) return;
    this.#completed = completed;
    if (this.#body !== undefined) this.#body.writable = false;
    for (const listener of this.#listeners ?? []) listener(completed);
  }

  /** The end of the connection is the end of this answer; an early end must not look like it. */
  get endsByClose(): boolean {
    return this.#bodyEnd === "close";
  }

  #begin(head: ReplyHead, close: boolean): void {
    if (this.begun) throw new TypeError("Cannot answer a request twice");
    const framed = frameHead(
      head,
      { isHead: this.#isHead, isHttp10: this.#isHttp10 },
      this.#lines.date,
    );
    this.#status = head.status;
    this.#bodyEnd = framed.bodyEnd;
    this.#remaining = framed.bytes;
    if (close || this.#lines.isDraining || framed.bodyEnd === "close") this.#keepAlive = false;
    // The caller has gone; that is told by onClosed, and is no fault of the head's.
    if (this.#completed !== undefined) return;
    const lines = this.#keepAlive ? this.#lines.keepAliveLines : "Connection: close\r\n";
    this.#connection.send(`${framed.text}${lines}\r\n`);
  }
}
