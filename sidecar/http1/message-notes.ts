/**
 * What a running parser says of one message, noted: fields joined over chunk borders, pieces of body as
 * positions, and how much framing there is between them. Bounded in what it holds; the bounds are on counted
 * bytes, so they do not depend on how the bytes were cut.
 */
import type { Notes } from "./llhttp-wasm.ts";
import type { ParseErrorKind } from "./parse-error.ts";

export const MAX_TRAILER_BYTES = 8 * 1024;
/** Between two pieces of a chunked body: line ends, a chunk's size, its extensions. */
export const MAX_CHUNK_LINE_BYTES = 256;
/** What all chunk lines of a message may have beyond their sizes (CVE-2024-22019). */
export const MAX_CHUNK_EXTENSION_BYTES = 4 * 1024;
/** Two line ends and as many digits as a length may have. */
const PLAIN_CHUNK_LINE_BYTES = 20;

export class MessageNotes implements Notes {
  /** The answer to HEAD has no body, whatever it says. */
  noBody = false;
  headDone = false;
  messageDone = false;
  upgrade = false;
  keepAlive = false;
  overflow: ParseErrorKind | undefined;
  #inBody = false;
  #inTrailers = false;
  #fields: string[] = [];
  /** Pairs of positions in the present chunk. */
  #spans: number[] = [];
  #trailerBytes = 0;
  #extensionBytes = 0;
  #gap = 0;
  // Of the present run: where its bytes are in the chunk, and up to where they are accounted for.
  #chunk: Buffer = EMPTY;
  #base = 0;
  #seen = 0;
  #text = "";

  /** A message begins. */
  begin(): void {
    this.upgrade = false;
    this.#inBody = false;
    this.#inTrailers = false;
    this.#trailerBytes = 0;
    this.#extensionBytes = 0;
    this.#gap = 0;
  }

  /** A run begins at `base` of the chunk; `text` is what stands there, as far as it is a head. */
  window(chunk: Buffer, base: number, text: string): void {
    this.#chunk = chunk;
    this.#base = base;
    this.#text = text;
    this.#seen = 0;
  }

  /** A run has ended after so many bytes. */
  close(length: number): void {
    if (this.#inBody) this.#skip(length - this.#seen);
    if (this.headDone) this.#inBody = true;
    this.#text = "";
  }

  /** Lets go of the chunk. */
  release(): void {
    this.#chunk = EMPTY;
  }

  takeFields(): string[] {
    const fields = this.#fields;
    if (fields.length > 0) this.#fields = [];
    for (let i = 1; i < fields.length; i += 2) fields[i] = trimEnd(fields[i] ?? "");
    return fields;
  }

  takeSpans(): readonly number[] {
    const spans = this.#spans;
    if (spans.length > 0) this.#spans = [];
    return spans;
  }

  field(start: number, length: number): void {
    if (this.#inBody) this.#pass(start, length);
    this.#append(start, length, this.#fields.length % 2 === 1);
  }

  value(start: number, length: number): void {
    if (this.#inBody) this.#pass(start, length);
    this.#append(start, length, this.#fields.length % 2 === 0);
  }

  body(start: number, length: number): void {
    this.#inBody = true;
    this.#skip(start - this.#seen);
    this.#extensionBytes += Math.max(0, this.#gap - PLAIN_CHUNK_LINE_BYTES);
    if (this.#extensionBytes > MAX_CHUNK_EXTENSION_BYTES) this.overflow ??= "chunk-extension";
    this.#gap = 0;
    this.#seen = start + length;
    this.#spans.push(this.#base + start, this.#base + start + length);
  }

  headersComplete(upgrade: boolean, shouldKeepAlive: boolean): boolean {
    this.headDone = true;
    this.upgrade = upgrade;
    this.keepAlive = shouldKeepAlive;
    return this.noBody;
  }

  messageComplete(): void {
    this.messageDone = true;
  }

  #append(start: number, length: number, isContinued: boolean): void {
    const from = this.#base + start;
    const text =
      start + length <= this.#text.length
        ? this.#text.slice(start, start + length)
        : this.#chunk.toString("latin1", from, from + length);
    const last = this.#fields.length - 1;
    if (isContinued && last >= 0) this.#fields[last] = `${this.#fields[last]}${text}`;
    else this.#fields.push(text);
  }

  /** Counts trailers; heads are bounded by their bytes. */
  #pass(start: number, length: number): void {
    this.#skip(start - this.#seen);
    this.#inTrailers = true;
    this.#gap = 0;
    this.#seen = start + length;
    this.#trailerBytes += length;
    if (this.#trailerBytes > MAX_TRAILER_BYTES) this.overflow ??= "trailer-size";
  }

  #skip(bytes: number): void {
    this.#gap += bytes;
    if (this.#inTrailers) this.#trailerBytes += bytes;
    if (this.#gap > MAX_CHUNK_LINE_BYTES) this.overflow ??= "chunk-extension";
  }
}

const EMPTY = Buffer.alloc(0);

function trimEnd(value: string): string {
  let end = value.length;
  while (end > 0 && (value.charCodeAt(end - 1) === 32 || value.charCodeAt(end - 1) === 9)) end -= 1;
  return end === value.length ? value : value.slice(0, end);
}
