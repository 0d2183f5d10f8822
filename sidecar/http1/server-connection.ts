/**
 * One connection of a caller who speaks HTTP/1.1: its requests are served one after the other, each answered
 * before the next is looked at, and none after an answer that ends the connection. What is read ahead is
 * bounded; beyond that the socket waits. Deadlines are a point in time that the server's sweep looks at.
 */
import type { Socket } from "node:net";
import type { DenialCode } from "../../policy/denials.ts";
import type { Inbound } from "../connection/inbound.ts";
import type { ConnectionHost } from "./connection-host.ts";
import { bodyHints, forbiddenTrailer } from "./body-hints.ts";
import type { ParsedHead, ParserEvents } from "./llhttp.ts";
import { HttpParser } from "./llhttp.ts";
import { Outbox } from "./outbox.ts";
import { denialOf } from "./parse-error.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { ReplyConnection } from "./reply.ts";
import { Http1Reply } from "./reply.ts";
import { NO_BODY, RequestBody } from "./request-body.ts";

/** How long a caller may take to close its side, and how much of what still comes is read and forgotten. */
const CLOSE_MS = 1_000;
const CLOSE_BYTES = 256 * 1024;
/** A caller that has closed its side gets its answer as long as it moves; then it is taken for gone. */
const HALF_CLOSED_MS = 1_000;

/** `ending`: nothing that comes counts, and what is to be sent is on its way; `ended`: that is sent, too. */
type Phase = "head" | "idle" | "serving" | "ending" | "ended";

export class ServerConnection implements ParserEvents, ReplyConnection {
  readonly #inbound: Inbound;
  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #outbox: Outbox;
  readonly #ahead: ReadAhead;
  readonly #parser = HttpParser.forRequests(this);
  #phase: Phase = "head";
  /** Since when the phase lasts, or nothing has moved in it. */
  #sinceMs: number;
  #moved = 0;
  #discarded = 0;
  /** The caller has closed its side. */
  #hasEnded = false;
  // Of the present request.
  #head: ParsedHead | undefined;
  #reply: Http1Reply | undefined;
  #body: RequestBody | undefined;
  #isComplete = false;
  #isSent = false;
  #isServed = false;

  constructor(inbound: Inbound, host: ConnectionHost) {
    this.#inbound = inbound;
    this.#host = host;
    const { socket } = inbound;
    this.#socket = socket;
    this.#outbox = new Outbox(socket);
    this.#ahead = new ReadAhead(socket);
    this.#sinceMs = host.now();
    // Who closes its side has still asked.
    socket.allowHalfOpen = true;
    socket.on("data", (bytes: Buffer) => {
      this.#onData(bytes);
    });
    socket.on("end", () => {
      this.#onEnd();
    });
    socket.on("drain", () => this.#reply?.drained());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#onClose();
    });
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** No request has begun. */
  get isIdle(): boolean {
    if (this.#phase !== "idle" && this.#phase !== "head") return false;
    return this.#parser.isBetween && !this.#ahead.has;
  }

  /** Ends what has lasted too long. */
  sweep(now: number): void {
    const { limits } = this.#host;
    switch (this.#phase) {
      case "head":
        if (now - this.#sinceMs >= limits.headersMs) {
          this.#refuse("request.timeout", `No whole head within ${limits.headersMs} ms`);
        }
        break;
      case "idle":
        if (now - this.#sinceMs >= limits.keepAliveMs) this.end();
        break;
      case "serving":
        this.#watch(now, this.#hasEnded ? HALF_CLOSED_MS : limits.idleMs);
        break;
      case "ending":
        this.#watch(now, limits.idleMs);
        break;
      case "ended":
        if (now - this.#sinceMs >= CLOSE_MS) this.#socket.destroy();
        break;
    }
  }

  send(data: string | Uint8Array): void {
    this.#outbox.send(data);
  }

  answered(close: boolean): void {
    const reply = this.#reply;
    this.#outbox.flush(() => {
      reply?.closed(!this.#socket.destroyed);
      this.#isSent = true;
      this.#next();
    });
    // Whoever has answered before all was read must not read on: what follows is the rest of an old request.
    if (close || !this.#isComplete) this.end();
  }

  /** The request is over for us, too: it is recorded. */
  served(): void {
    this.#isServed = true;
    this.#next();
  }

  /** At once. What would look like a whole answer by its end is reset; TLS has a word for its end, which is not said. */
  abort(): void {
    this.#outbox.flush();
    const isPlain = this.#inbound.client.tls === undefined;
    if (isPlain && this.#reply?.endsByClose === true) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Sends what is to be sent and its own end; reads and forgets what still comes (RFC 9112 §9.6), within bounds. */
  end(): void {
    if (this.#isOver()) return;
    this.#enter("ending");
    this.#outbox.flush();
    this.#body?.breakOff();
    this.#ahead.clear();
    this.#socket.end(() => {
      this.#enter("ended");
    });
  }

  onHead(head: ParsedHead): void {
    this.#head = head;
    this.#isComplete = false;
    this.#enter("serving");
    // What follows is no HTTP.
    if (head.method === "CONNECT") this.#parser.pause();
    else if (!bodyHints(head.headers).mayHaveBody) return;
    this.#serve(head, true);
  }

  onBody(bytes: Buffer): void {
    const body = this.#body;
    if (this.#isOver() || body === undefined || body.destroyed) return;
    if (!body.push(bytes)) this.#parser.pause();
  }

  onTrailers(fields: readonly string[]): void {
    if (this.#isOver()) return;
    const name = forbiddenTrailer(fields);
    if (name === undefined) return;
    this.#spoil("request.malformed", `The trailer "${name}" may not be one`);
  }

  onComplete(): void {
    this.#isComplete = true;
    this.#parser.pause();
    if (this.#isOver()) return;
    if (this.#reply === undefined && this.#head !== undefined) this.#serve(this.#head, false);
    else if (this.#body?.destroyed === false) this.#body.push(null);
  }

  /** What has come while nobody could take it. */
  readOn(): void {
    while (!this.#parser.isPaused && !this.#isOver()) {
      const bytes = this.#ahead.take();
      if (bytes === undefined) break;
      this.#parse(bytes);
    }
    if (this.#hasEnded && !this.#ahead.has) this.#onAllRead();
  }

  #serve(head: ParsedHead, mayHaveBody: boolean): void {
    const { method, target, version, headers } = head;
    const reply = new Http1Reply(this, this.#host, {
      isHead: method === "HEAD",
      isHttp10: version === "1.0",
      keepAlive: head.shouldKeepAlive,
    });
    this.#reply = reply;
    if (mayHaveBody || bodyHints(headers).isFramed) {
      this.#body = new RequestBody(this.#onWanted);
      if (!mayHaveBody) this.#body.push(null);
    }
    const raw = { method, target, version, headers };
    const { client } = this.#inbound;
    const arrival = { raw, body: this.#body ?? NO_BODY, mayHaveBody, reply, client };
    this.#host.onRequest(this, arrival);
  }

  /** When the answer is on its way; the next request may have come already. */
  #next(): void {
    if (!this.#isSent || !this.#isServed || this.#isOver()) return;
    this.#isSent = false;
    this.#isServed = false;
    this.#head = undefined;
    this.#reply = undefined;
    this.#body = undefined;
    this.#enter("idle");
    this.#parser.resume();
    this.readOn();
    if (this.#host.isDraining && this.isIdle) this.end();
  }

  readonly #onWanted = (): void => {
    if (!this.#parser.isPaused || this.#isComplete) return;
    this.#parser.resume();
    // Not on the reader's stack: it is in the middle of taking what there is.
    process.nextTick(readOn, this);
  };

  #onData(bytes: Buffer): void {
    if (this.#isOver()) {
      this.#discarded += bytes.length;
      if (this.#discarded > CLOSE_BYTES) this.#socket.destroy();
    } else if (this.#ahead.has || this.#parser.isPaused) this.#ahead.add(bytes);
    else this.#parse(bytes);
  }

  #parse(bytes: Buffer): void {
    if (this.#phase === "idle") this.#enter("head");
    const taken = this.#parser.execute(bytes);
    const { error } = this.#parser;
    if (this.#isOver()) return;
    if (error !== undefined) this.#spoil(denialOf(error), `The parser says: ${error.reason}`);
    else if (taken < bytes.length) this.#ahead.putBack(bytes.subarray(taken));
  }

  #onEnd(): void {
    this.#hasEnded = true;
    this.#sinceMs = this.#host.now();
    if (!this.#ahead.has) this.#onAllRead();
  }

  /** The caller has closed its side, and all that it has sent was read. */
  #onAllRead(): void {
    if (this.#isOver() || this.isIdle) this.end();
    // Whoever waits for an answer gets it; whoever is slow to take a body takes it first.
    else if (this.#phase === "serving" && (this.#isComplete || this.#parser.isPaused)) return;
    else this.#socket.destroy();
  }

  /** The rest of a request turned out to be none. */
  #spoil(code: DenialCode, detail: string): void {
    if (this.#reply?.begun === true) this.abort();
    else this.#refuse(code, detail);
  }

  /** Answers without a request, or instead of one. */
  #refuse(code: DenialCode, detail: string): void {
    this.#outbox.send(this.#host.refuse(this.#inbound, code, detail));
    this.#reply?.closed(false);
    this.end();
  }

  #watch(now: number, idleMs: number): void {
    const socket = this.#socket;
    const moved = socket.bytesRead + socket.bytesWritten - socket.writableLength;
    if (moved !== this.#moved) {
      this.#moved = moved;
      this.#sinceMs = now;
    } else if (now - this.#sinceMs >= idleMs) this.abort();
  }

  #onClose(): void {
    this.#phase = "ended";
    this.#parser.free();
    this.#ahead.clear();
    this.#body?.breakOff();
    this.#reply?.closed(false);
    this.#host.onClosed(this);
  }

  /** Nothing that comes counts any more. */
  #isOver(): boolean {
    return this.#phase === "ending" || this.#phase === "ended" || this.#socket.destroyed;
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#sinceMs = this.#host.now();
  }
}

function readOn(connection: ServerConnection): void {
  connection.readOn();
}
