/**
 * One connection to the application: at any time one request, and bytes that belong to it or to nobody. What
 * comes while nobody has asked, or behind the end of an answer, ends the connection; so does everything else
 * after which its state is a guess. Only after a clean exchange does it go back to its pool.
 */
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { UpstreamAddress } from "./address.ts";
import type { UpstreamFailure } from "./failure.ts";
import { failure, isClosedConnection, upstreamFailure } from "./failure.ts";
import type { ResponseHead } from "./response-reader.ts";
import { ResponseReader } from "./response-reader.ts";

/** Who has sent the request. After `end` or `failed` it hears nothing more. */
export interface Call {
  /** The connection stands; not called on one that stood already. */
  connected(): void;
  head(head: ResponseHead): void;
  /** False: no more until `resume()`. */
  body(chunk: Buffer): boolean;
  /** Trailers as name, value, name, value …. */
  end(trailers: readonly string[]): void;
  /** What `write()` returned false for is on its way. */
  drained(): void;
  failed(failure: UpstreamFailure): void;
}

export interface ConnectionOwner {
  released(): void;
  /** Once, as soon as it is of no use any more. */
  closed(): void;
}

/**
 * All connections read into the same memory: a read is taken apart before the next one begins, and an idle
 * connection holds none.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

export class UpstreamConnection {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #reader = new ResponseReader();
  #call: Call | undefined;
  #connected = false;
  #closed = false;
  #isReused = false;
  /** Anything was said since the present request began. */
  #heard = false;
  #requestEnded = false;
  #paused = false;
  #bytesRead = 0;

  constructor(address: UpstreamAddress, owner: ConnectionOwner) {
    this.#owner = owner;
    const socket = connect({
      ...address,
      noDelay: true,
      onread: {
        buffer: READ_BUFFER,
        callback: (length) => this.#read(READ_BUFFER.subarray(0, length)),
      },
    });
    this.#socket = socket;
    socket.once("connect", () => {
      this.#connected = true;
      this.#call?.connected();
    });
    socket.on("drain", () => this.#call?.drained());
    socket.once("end", () => {
      this.#ended();
    });
    socket.once("error", (error) => {
      const reason = upstreamFailure(error);
      this.fail({ ...reason, diedIdle: isClosedConnection(error) && this.#isUnheard() });
    });
    socket.once("close", () => {
      this.fail(failure("upstream.reset", "The application closed the connection"));
    });
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  /** Of all answers; grows while an answer moves. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Binds the connection to one request, whose bytes follow by `write()`. */
  begin(call: Call, request: { readonly isHead: boolean }): void {
    this.#call = call;
    this.#heard = false;
    this.#requestEnded = false;
    this.#reader.begin(request.isHead);
  }

  /** Latin-1 text, or bytes. False: wait for `drained()`. */
  write(data: string | Uint8Array): boolean {
    return typeof data === "string" ? this.#socket.write(data, "latin1") : this.#socket.write(data);
  }

  /** What is written until the next turn goes out in one piece. */
  gather(): void {
    this.#socket.cork();
    process.nextTick(uncork, this.#socket);
  }

  /** The last byte of the request was given to `write()`. */
  endRequest(): void {
    this.#requestEnded = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** Whoever called hears nothing more. Idempotent. */
  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#call = undefined;
    this.#reader.close();
    this.#socket.destroy();
    this.#owner.closed();
  }

  /** Closes the connection, and tells whoever called why. Idempotent. */
  fail(reason: UpstreamFailure): void {
    const call = this.#call;
    this.destroy();
    call?.failed(reason);
  }

  /** False stops reading until `resume()`. */
  #read(bytes: Buffer): boolean {
    const call = this.#call;
    if (this.#closed || call === undefined) {
      this.destroy();
      return false;
    }
    this.#heard = true;
    this.#bytesRead += bytes.length;
    const { head, body, end, problem } = this.#reader.read(bytes);
    if (head !== undefined) call.head(head);
    if (this.#call !== call) return false;
    if (body !== undefined && !call.body(body)) this.#paused = true;
    if (this.#call !== call) return false;
    if (problem !== undefined) {
      this.fail(failure("upstream.malformed", problem));
      return false;
    }
    if (end !== undefined) {
      this.#end(end.trailers, end.isReusable);
      return !this.#closed;
    }
    return !this.#paused;
  }

  #end(trailers: readonly string[], isReusable: boolean): void {
    const call = this.#call;
    // An answer before the whole request was read: the connection's state is nobody's guess.
    const isSent = this.#requestEnded && this.#socket.writableLength === 0;
    this.#call = undefined;
    this.#paused = false;
    if (isReusable && isSent) {
      this.#isReused = true;
      // First: what the caller sends next finds the connection.
      this.#owner.released();
    } else {
      this.destroy();
    }
    call?.end(trailers);
  }

  #ended(): void {
    if (this.#call !== undefined && this.#reader.endsWithConnection()) {
      this.#end([], false);
      return;
    }
    const reason = failure("upstream.reset", "The application closed the connection");
    this.fail({ ...reason, diedIdle: this.#isUnheard() });
  }

  #isUnheard(): boolean {
    return this.#isReused && !this.#heard;
  }
}

function uncork(socket: Socket): void {
  socket.uncork();
}
