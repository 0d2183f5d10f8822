/**
 * A request's body out of its connection, with back-pressure: when nobody takes it, nothing more is read. It
 * ends only when the message has ended; a connection that ends before is an error, so that what was cut off
 * does not look complete to an application that gets it in chunks.
 */
import { Readable } from "node:stream";
import { PosternError } from "../../runtime/error.ts";

export class RequestBody extends Readable {
  readonly #onWanted: () => void;

  /** `onWanted`: whoever reads has room for more. */
  constructor(onWanted: () => void) {
    super();
    this.#onWanted = onWanted;
    // Who listens is told; that nobody does must not end the process.
    this.on("error", ignore);
  }

  /** The connection has ended before the message. */
  breakOff(): void {
    if (!this.readableEnded && !this.destroyed) {
      this.destroy(new PosternError("aborted", "The caller broke the request off"));
    }
  }

  override _read(): void {
    this.#onWanted();
  }
}

/** For all requests without one: there is nothing to read, and nobody changes it. */
export const NO_BODY: Readable = Readable.from([]);

function ignore(): void {
  // Told to others.
}
