/**
 * A parser of one connection's requests or responses over llhttp, and stricter: the start line is exactly that
 * of RFC 9112, no blank lines stand between messages, heads, trailers and chunk extensions are bounded. What it
 * says of bytes does not depend on how they were cut into chunks. Events are told after llhttp has stopped, so
 * whoever listens may pause, run another parser or throw.
 */
import type { Machine } from "./llhttp-wasm.ts";
import { llhttp, OK, PAUSED, REQUEST, RESPONSE } from "./llhttp-wasm.ts";
import { WINDOW_BYTES } from "./llhttp-wasm.ts";
import { MessageNotes } from "./message-notes.ts";
import type { ParseError, ParseErrorKind } from "./parse-error.ts";
import { llhttpError } from "./parse-error.ts";
import type { StartLine } from "./start-line.ts";
import { readRequestLine, readStatusLine } from "./start-line.ts";

export const MAX_HEAD_BYTES = 32 * 1024;

export interface ParsedHead extends StartLine {
  /** Name, value, name, value …, as sent, one character per byte, values without surrounding white space. */
  readonly headers: readonly string[];
  /** The head asks for another protocol, or is CONNECT or 101: pause, for what follows may be no HTTP. */
  readonly upgrade: boolean;
  /** Whether another message may follow this one. */
  readonly shouldKeepAlive: boolean;
}

/** In order: one head, pieces of body, trailers if there are any, complete. */
export interface ParserEvents {
  onHead(head: ParsedHead): void;
  /** A part of what was given to `execute`, not a copy. */
  onBody(bytes: Buffer): void;
  onTrailers(fields: readonly string[]): void;
  onComplete(): void;
}

type Place = "between" | "head" | "body" | "dead";

const EMPTY = Buffer.alloc(0);
const CR = 0x0d;
const LF = 0x0a;

export class HttpParser {
  readonly #machine: Machine = llhttp();
  readonly #type: number;
  readonly #events: ParserEvents;
  readonly #notes = new MessageNotes();
  #parser: number;
  #place: Place = "between";
  #error: ParseError | undefined;
  #paused = false;
  #executing = false;
  /** The head was told; whether the message ends with it is known after the next run only. */
  #isPending = false;
  #taken = 0;
  #blank = 0;
  #line = "";
  #start: StartLine | undefined;

  private constructor(type: number, events: ParserEvents) {
    this.#type = type;
    this.#events = events;
    this.#parser = this.#machine.take(type);
  }

  static forRequests(events: ParserEvents): HttpParser {
    return new HttpParser(REQUEST, events);
  }

  static forResponses(events: ParserEvents): HttpParser {
    return new HttpParser(RESPONSE, events);
  }

  /** The parser has stopped for good. */
  get error(): ParseError | undefined {
    return this.#error;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** No message has begun that has not ended. */
  get isBetween(): boolean {
    return this.#place === "between";
  }

  /** The answer to HEAD has no body, whatever it says. Set before its head arrives; holds until set again. */
  expectBody(expected: boolean): void {
    this.#notes.noBody = !expected;
  }

  /**
   * `execute` returns soon and takes nothing until `resume`. From within onHead and onComplete, not one byte
   * more is taken; what was taken already is told.
   */
  pause(): void {
    this.#paused = true;
  }

  /** Then `execute`, even with nothing: a message that ends with its head is complete only after that. */
  resume(): void {
    this.#paused = false;
  }

  /**
   * Parses `chunk` from `offset`; returns up to where. Less than its length: the parser is paused or has an
   * `error`. What was not taken must be given again, in front of what comes later.
   */
  execute(chunk: Buffer, offset = 0): number {
    if (this.#executing) throw new TypeError("Cannot execute a parser from within its own event");
    this.#executing = true;
    try {
      let at = offset;
      while ((at < chunk.length || this.#isPending) && !this.#paused && !this.#isDead()) {
        if (this.#place === "between") {
          at = this.#skipBlank(chunk, at);
          if (at >= chunk.length || this.#isDead()) break;
          this.#begin();
        }
        at = this.#run(chunk, at);
      }
      return at;
    } finally {
      this.#executing = false;
      this.#notes.release();
    }
  }

  /** The other side has ended: completes a body that lasts until then; anything else unfinished is an error. */
  finish(): ParseError | undefined {
    if (this.#isPending) this.execute(EMPTY);
    if (this.#place === "dead" || this.#place === "between") return this.#error;
    this.#machine.finish(this.#parser, this.#notes);
    if (this.#notes.messageDone) this.#complete();
    else this.#fail("end", "The connection ended within a message", this.#taken);
    return this.#error;
  }

  /** Gives the parser back. Idempotent; nothing is parsed after it. */
  free(): void {
    if (this.#parser === 0) return;
    this.#machine.give(this.#type, this.#parser);
    this.#parser = 0;
    this.#place = "dead";
  }

  /** One blank line before a request is an old client's (RFC 9112 §2.2); llhttp would skip any number of any kind. */
  #skipBlank(chunk: Buffer, offset: number): number {
    let at = offset;
    while (at < chunk.length) {
      const byte = chunk[at];
      if (byte !== CR && byte !== LF && this.#blank !== 1) return at;
      const isNext = this.#blank < 2 && byte === (this.#blank === 0 ? CR : LF);
      if (!isNext || this.#type === RESPONSE) {
        this.#fail("malformed", "Expected the start line of a message", this.#blank);
        return at;
      }
      this.#blank += 1;
      at += 1;
    }
    return at;
  }

  #begin(): void {
    this.#place = "head";
    this.#taken = 0;
    this.#blank = 0;
    this.#line = "";
    this.#start = undefined;
    // Nobody took the bytes for another protocol: they are HTTP, and llhttp has to be told so.
    if (this.#notes.upgrade && this.#machine.execute(this.#parser, 0, this.#notes) !== OK) {
      this.#machine.resumeAfterUpgrade(this.#parser);
    }
    this.#notes.begin();
  }

  /** Lets llhttp run over one window of bytes, then tells what it has found. Returns up to where. */
  #run(chunk: Buffer, at: number): number {
    const notes = this.#notes;
    let to = Math.min(chunk.length, at + WINDOW_BYTES);
    let text = "";
    this.#isPending = false;
    if (this.#place === "head") {
      to = Math.min(to, at + MAX_HEAD_BYTES + 1 - this.#taken);
      text = this.#decode(chunk, at, to);
    }
    notes.window(chunk, at, text);
    this.#machine.load(chunk.subarray(at, to));
    const result = this.#machine.execute(this.#parser, to - at, notes);
    const length = result === OK ? to - at : this.#machine.stoppedAt(this.#parser);
    this.#taken += length;
    notes.close(length);
    if (result === PAUSED) this.#machine.resume(this.#parser);
    else if (result !== OK) {
      const reason = this.#machine.reason(this.#parser);
      this.#error = llhttpError(result, reason, this.#taken, chunk[at + length]);
    }
    if (notes.overflow !== undefined) {
      this.#fail(notes.overflow, "The body's framing exceeds its bound", this.#taken);
    } else if (this.#error === undefined && this.#place === "head") this.#checkHead();
    if (this.#error === undefined) this.#tell(chunk);
    else this.#place = "dead";
    return at + length;
  }

  /** One string for the head, of which its parts are slices: cheaper than one per field. */
  #decode(chunk: Buffer, at: number, to: number): string {
    const end = chunk.indexOf("\r\n\r\n", at, "latin1");
    const text = chunk.toString("latin1", at, end === -1 ? to : Math.min(to, end + 4));
    if (this.#start === undefined) {
      const lineEnd = text.indexOf("\n");
      this.#line += lineEnd === -1 ? text : text.slice(0, lineEnd + 1);
    }
    return text;
  }

  #checkHead(): void {
    if (this.#start === undefined && this.#line.endsWith("\n")) {
      const read = this.#type === REQUEST ? readRequestLine : readStatusLine;
      this.#start = read(this.#line);
      if (this.#start === undefined) {
        this.#fail("malformed", "The start line is not that of HTTP/1.1 or HTTP/1.0", 0);
      }
    }
    if (this.#error === undefined && this.#taken > MAX_HEAD_BYTES) {
      this.#fail("head-size", `The head exceeds ${MAX_HEAD_BYTES} bytes`, MAX_HEAD_BYTES);
    }
  }

  #tell(chunk: Buffer): void {
    const notes = this.#notes;
    if (notes.headDone) {
      notes.headDone = false;
      this.#tellHead();
    }
    const spans = notes.takeSpans();
    for (let i = 0; i < spans.length && !this.#isDead(); i += 2) {
      this.#events.onBody(chunk.subarray(spans[i], spans[i + 1]));
    }
    if (notes.messageDone) this.#complete();
  }

  #tellHead(): void {
    if (this.#start === undefined) throw new TypeError("Cannot tell a head without start line");
    const { method, target, status, reason, version } = this.#start;
    const { upgrade, keepAlive: shouldKeepAlive } = this.#notes;
    const headers = this.#notes.takeFields();
    this.#place = "body";
    this.#isPending = !this.#notes.messageDone;
    const head = { method, target, status, reason, version, headers, upgrade, shouldKeepAlive };
    this.#events.onHead(head);
  }

  #complete(): void {
    this.#notes.messageDone = false;
    if (this.#isDead()) return;
    this.#place = "between";
    const trailers = this.#notes.takeFields();
    if (trailers.length > 0) this.#events.onTrailers(trailers);
    if (!this.#isDead()) this.#events.onComplete();
  }

  #isDead(): boolean {
    return this.#place === "dead";
  }

  #fail(kind: ParseErrorKind, reason: string, offset: number): void {
    this.#error = { kind, reason, offset };
    this.#place = "dead";
  }
}
