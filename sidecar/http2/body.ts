/**
 * A request's body out of an HTTP/2 stream. Node lets a stream that the caller has reset end like a whole one;
 * here it ends only when the caller has said so, and is an error otherwise: what is cut must not look complete
 * to an application that gets it in chunks.
 */
import type { ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { PosternError } from "../../runtime/error.ts";

export class RequestBody extends Readable {
  readonly #stream: ServerHttp2Stream;
  readonly #onChunk: () => void;
  #attached = false;
  #whole = false;

  /** `onChunk`: the caller has sent something. Nothing is taken off the stream before somebody reads. */
  constructor(stream: ServerHttp2Stream, hasBody: boolean, onChunk: () => void) {
    super();
    this.#stream = stream;
    this.#onChunk = onChunk;
    // Who listens is told; that nobody does must not end the process.
    this.on("error", () => undefined);
    if (!hasBody) {
      this.#whole = true;
      this.push(null);
    }
  }

  /** All of it has come, and was read off the stream. */
  get isWhole(): boolean {
    return this.#whole;
  }

  /** Nothing more comes, whether it was all or not. */
  end(): void {
    if (!this.#whole && !this.destroyed) {
      this.destroy(new PosternError("aborted", "The caller broke the request off"));
    }
  }

  /** Nobody reads on: what still comes is taken off the stream, so that the stream can end. */
  discard(): void {
    this.destroy();
    this.#stream.resume();
  }

  override _read(): void {
    if (!this.#attached) {
      this.#attached = true;
      this.#attach();
    }
    this.#stream.resume();
  }

  #attach(): void {
    const stream = this.#stream;
    stream.on("data", (chunk: Buffer) => {
      this.#onChunk();
      if (!this.destroyed && !this.push(chunk)) stream.pause();
    });
    const ended = (): void => {
      if (this.destroyed) return;
      if (stream.closed) {
        this.end();
        return;
      }
      this.#whole = true;
      this.push(null);
    };
    // One without a byte may have ended while the decision was made.
    if (stream.readableEnded) ended();
    else stream.once("end", ended);
  }
}
