/**
 * One request as the pipeline sees it, whatever protocol brought it. What a check decides on is what is
 * forwarded: there is no second reading of the target or of a header after this one.
 */
import type { Readable } from "node:stream";
import type { ClientOrigin } from "./connection/inbound.ts";

export interface HeaderLine {
  /** As sent. */
  readonly name: string;
  /** Lower case. */
  readonly key: string;
  /** One character per byte (Latin-1), without surrounding white space. */
  readonly value: string;
}

/** Header lines in the order in which they came. Lookups never join lines: who wants one value asks for one. */
export class HeaderList {
  readonly lines: readonly HeaderLine[];

  constructor(lines: readonly HeaderLine[]) {
    this.lines = lines;
  }

  /** The first value; `key` is in lower case. Only for headers that normal form holds to be single. */
  get(key: string): string | undefined {
    for (const line of this.lines) if (line.key === key) return line.value;
    return undefined;
  }

  all(key: string): string[] {
    const values: string[] = [];
    for (const line of this.lines) if (line.key === key) values.push(line.value);
    return values;
  }
}

/** How the end of a request's body is told (RFC 9112 §6). */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" };

/** A request in normal form: every field has one possible reading. */
export interface NormalRequest {
  readonly method: string;
  /** Path and query, the very bytes that are forwarded. */
  readonly target: string;
  /** The target without its query, still encoded. */
  readonly path: string;
  /** Decoded. `/` is no segments; a trailing slash is a last segment "". */
  readonly segments: readonly string[];
  /** Without its question mark, still encoded. */
  readonly query: string | undefined;
  /** Lower case, with the port if one was sent. */
  readonly host: string;
  /** Without the identity headers that policy sets: nobody can have sent them. */
  readonly headers: HeaderList;
  readonly framing: Framing;
  /** `Expect: 100-continue`: the caller waits for a word before it sends the body. */
  readonly expectsContinue: boolean;
}

export interface Exchange extends NormalRequest {
  readonly id: string;
  /** Unix milliseconds. */
  readonly receivedAtMs: number;
  readonly client: ClientOrigin;
  readonly body: Readable;
  readonly reply: Reply;
}

export interface ReplyHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly HeaderLine[];
}

/** The way back to the caller. Exactly one head, then the body; `cut()` at any time. */
export interface Reply {
  /** True once a head was sent: from then on a failure can only be a cut. */
  readonly begun: boolean;
  /** HTTP status sent, 0 before. */
  readonly status: number;
  /** Tells a caller that waits for it to send the body (RFC 9110 §10.1.1). */
  proceed(): void;
  /** Throws TypeError when a header cannot be represented; then nothing was sent. */
  head(head: ReplyHead): void;
  /** Where the body goes, with back-pressure; what is written must not change any more. Ending it ends the answer. */
  readonly body: NodeJS.WritableStream;
  /** Fields after a chunked body; before `body` ends. */
  trailers(lines: readonly HeaderLine[]): void;
  /** A whole answer of ours. `close`: nothing more is read from this caller's connection. */
  answer(head: ReplyHead, body: Uint8Array, close: boolean): void;
  /** Breaks the answer off so that the caller can see it is incomplete. */
  cut(): void;
  /** Called once when the exchange is over for the caller: `completed` is false when it went before the end. */
  onClosed(listener: (completed: boolean) => void): void;
}
