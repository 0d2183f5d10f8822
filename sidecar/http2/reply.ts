/**
 * The Reply of an exchange over an HTTP/2 stream. What is cut is reset, so that the caller sees that it is not
 * whole; a caller that takes nothing off its window holds a bounded buffer, and not for ever.
 */
import type { ServerHttp2Stream } from "node:http2";
import { Writable } from "node:stream";
import type { Deadlines } from "../deadlines.ts";
import type { HeaderLine, Reply, ReplyHead } from "../exchange.ts";
import type { RequestBody } from "./body.ts";
import { CODES } from "./codes.ts";

/** RFC 9113 §8.2.2: they end at each hop, and a caller would take the answer for malformed. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "te",
]);
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9110 §5.5; Node writes anything, and a NUL would begin another field. */
const VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;

export interface Http2ReplyOptions {
  readonly deadlines: Deadlines;
  readonly stallMs: number;
  readonly body: RequestBody;
  /** Something was sent. */
  readonly onProgress: () => void;
  /** The caller's window was shut for too long. */
  readonly onStall: () => void;
}

export interface Http2Reply extends Reply {
  /** Whether the end of the stream was of our making. */
  readonly isCut: boolean;
}

export function createHttp2Reply(
  stream: ServerHttp2Stream,
  options: Http2ReplyOptions,
  isHead: boolean,
): Http2Reply {
  let status = 0;
  let isCut = false;
  let awaitsTrailers = false;
  let trailers: readonly HeaderLine[] = [];
  const reset = (code: number): void => {
    isCut = true;
    stream.close(code);
  };
  const body = new AnswerBody(stream, options, () => {
    options.onStall();
    reset(CODES.ENHANCE_YOUR_CALM);
  });
  const begin = (head: ReplyHead, canHaveTrailers: boolean): void => {
    const fields = answerFields(head);
    // The caller has gone; that is told by onClosed, and is no fault of the head's.
    if (stream.closed || stream.destroyed) return;
    const hasBody = !isHead && !isBodiless(head.status);
    if (!hasBody) body.swallow();
    awaitsTrailers = hasBody && canHaveTrailers;
    stream.respond(fields, { endStream: !hasBody, waitForTrailers: awaitsTrailers });
    status = head.status;
    options.onProgress();
    // Of HEAD, Node has ended our side before anybody has answered.
    if (stream.writableFinished) setImmediate(over);
  };
  // An answer before the whole request: no word of the rest is wanted (RFC 9113 §8.1).
  const over = (): void => {
    // After a whole request the stream has closed by itself.
    if (options.body.isWhole || status === 0 || awaitsTrailers || stream.destroyed) return;
    options.body.discard();
    stream.close(CODES.NO_ERROR);
  };
  stream.once("wantTrailers", () => {
    if (stream.closed || stream.destroyed) return;
    const fields: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
    for (const { key, value } of trailers) (fields[key] ??= []).push(value);
    stream.sendTrailers(fields);
    awaitsTrailers = false;
    // Node sends them in the next turn.
    setImmediate(() => setImmediate(over));
  });
  // What is finished is written in the next turn; a reset before would take its end away.
  stream.once("finish", () => setImmediate(over));
  // A reset with NO_ERROR leaves the stream to whoever reads it to its end, and that may be nobody.
  stream.once("aborted", () => {
    if (!isCut) queueMicrotask(() => stream.destroy());
  });
  stream.once("close", () => {
    options.body.end();
    body.destroy();
  });
  return {
    get begun() {
      return status !== 0;
    },
    get status() {
      return status;
    },
    get isCut() {
      return isCut;
    },
    proceed: () => {
      if (!stream.closed && !stream.destroyed) stream.additionalHeaders({ ":status": 100 });
    },
    head: (head) => {
      begin(head, true);
    },
    body,
    trailers: (lines) => {
      // Nobody may depend on them (RFC 9110 §6.5.1), so what cannot be sent is left out.
      trailers = lines.filter((line) => fieldProblem(line) === undefined);
    },
    answer: (head, bytes) => {
      begin(head, false);
      body.end(bytes);
    },
    cut: () => {
      reset(CODES.INTERNAL_ERROR);
    },
    onClosed: (listener) => {
      const tell = (): void => {
        const isWhole = status !== 0 && stream.writableFinished;
        listener(!isCut && isWhole && stream.rstCode === CODES.NO_ERROR);
      };
      // The caller may have gone while the decision was made, and then there is no event any more.
      if (stream.closed || stream.destroyed) tell();
      else stream.once("close", tell);
    },
  };
}

/** Hands on what it gets as long as the caller's window and the stream's buffer have room. */
class AnswerBody extends Writable {
  readonly #stream: ServerHttp2Stream;
  readonly #options: Http2ReplyOptions;
  readonly #onStall: () => void;
  #swallows = false;

  constructor(stream: ServerHttp2Stream, options: Http2ReplyOptions, onStall: () => void) {
    super();
    this.#stream = stream;
    this.#options = options;
    this.#onStall = onStall;
    this.on("error", () => undefined);
  }

  /** The answer has no place for a body: whatever comes is dropped, as its meaning demands. */
  swallow(): void {
    this.#swallows = true;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#swallows) {
      done();
      return;
    }
    this.#options.onProgress();
    if (this.#stream.write(chunk)) done();
    else this.#stream.once("drain", this.#unlessStalled(done));
  }

  override _final(done: () => void): void {
    if (this.#swallows || this.#stream.destroyed) {
      done();
      return;
    }
    this.#stream.once("finish", this.#unlessStalled(done));
    this.#stream.end();
  }

  #unlessStalled(done: () => void): () => void {
    const { deadlines, stallMs } = this.#options;
    const disarm = deadlines.arm(stallMs, this.#onStall);
    this.#stream.once("close", disarm);
    return () => {
      disarm();
      this.#stream.removeListener("close", disarm);
      done();
    };
  }
}

/** Throws TypeError or RangeError for what cannot stand in HTTP/2; then nothing was sent. */
function answerFields({ status, headers }: ReplyHead): string[] {
  if (status < 200 || status > 599) {
    throw new RangeError(`Cannot answer with status ${status}: it must be from 200 to 599`);
  }
  const fields = [":status", String(status)];
  for (const line of headers) {
    const problem = fieldProblem(line);
    if (problem !== undefined) {
      throw new TypeError(`Cannot send the header "${line.key}" in HTTP/2: ${problem}`);
    }
    fields.push(line.key, line.value);
  }
  return fields;
}

function fieldProblem({ key, value }: HeaderLine): string | undefined {
  if (!TOKEN.test(key)) return "it is not a token";
  if (CONNECTION_SPECIFIC.has(key)) return "it is of one connection";
  return VALUE.test(value) ? undefined : "its value holds a control character";
}

/** RFC 9110 §6.4.1. */
function isBodiless(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}
