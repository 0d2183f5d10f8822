/**
 * The only way to the application, and it takes a Permit. What is sent is written anew from what was decided
 * on; bodies stream both ways with back-pressure and are never held. An answer that breaks off is broken off
 * towards the caller too: a cut never looks like an end.
 */
import type { DenialCode } from "../policy/denials.ts";
import { describe } from "../runtime/error.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Exchange, HeaderLine } from "./exchange.ts";
import { responseHeaders, trailerLines } from "./hop-by-hop.ts";
import type { Permit } from "./pipeline.ts";
import type { Call, UpstreamConnection } from "./upstream/connection.ts";
import type { UpstreamCode, UpstreamFailure } from "./upstream/failure.ts";
import type { Claim, Pool } from "./upstream/pool.ts";
import { RequestBody } from "./upstream/request-body.ts";
import { requestHead } from "./upstream/request-bytes.ts";
import type { ResponseHead } from "./upstream/response-reader.ts";

/** `request.timeout`: it was the caller who did not go on. */
export type ForwardCode = UpstreamCode | Extract<DenialCode, "request.timeout">;

export type Forwarded =
  /** The application's whole answer was passed on. */
  | { readonly kind: "answered" }
  /** Nothing was sent to the caller yet. */
  | { readonly kind: "failed"; readonly code: ForwardCode; readonly detail: string }
  /** The answer had begun, and was broken off. */
  | { readonly kind: "cut"; readonly code: ForwardCode; readonly detail: string }
  /** The caller went away first. */
  | { readonly kind: "gone" };

export interface ForwardDeadlines {
  readonly connectMs: number;
  /** To the response's head, from the connection or from the last move of the request's body. */
  readonly responseHeadMs: number;
  /** Without a move of either body, once the response has begun. */
  readonly responseIdleMs: number;
}

/** Repeating these changes nothing (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
const NO_TRAILERS: ReadonlySet<string> = new Set();

export function forward(
  permit: Permit,
  pool: Pool,
  deadlines: Deadlines,
  limits: ForwardDeadlines,
): Promise<Forwarded> {
  return new Promise((resolve) => {
    new Forwarding(permit, pool, deadlines, limits, resolve).start();
  });
}

class Forwarding implements Claim, Call {
  readonly #exchange: Exchange;
  readonly #identity: readonly HeaderLine[];
  readonly #pool: Pool;
  readonly #deadlines: Deadlines;
  readonly #limits: ForwardDeadlines;
  readonly #resolve: (forwarded: Forwarded) => void;
  #head = "";
  #connection: UpstreamConnection | undefined;
  #body: RequestBody | undefined;
  #disarm: () => void = nothing;
  #isSettled = false;
  #isRetry = false;
  /** The caller takes no more of the answer. */
  #isBlocked = false;
  #trailers = NO_TRAILERS;

  constructor(
    permit: Permit,
    pool: Pool,
    deadlines: Deadlines,
    limits: ForwardDeadlines,
    resolve: (forwarded: Forwarded) => void,
  ) {
    this.#exchange = permit.exchange;
    this.#identity = permit.identity;
    this.#pool = pool;
    this.#deadlines = deadlines;
    this.#limits = limits;
    this.#resolve = resolve;
  }

  start(): void {
    this.#head = requestHead(this.#exchange, this.#identity);
    this.#exchange.reply.onClosed((completed) => {
      if (!completed) this.#gone();
    });
    if (!this.#isSettled) this.#pool.acquire(this);
  }

  assigned(connection: UpstreamConnection): void {
    const { method, framing, expectsContinue, body, reply } = this.#exchange;
    this.#connection = connection;
    connection.begin(this, { isHead: method === "HEAD" });
    if (connection.isConnected) this.#awaitHead();
    else {
      const { connectMs } = this.#limits;
      this.#disarm = this.#deadlines.arm(connectMs, () => {
        this.#fail("upstream.timeout", `No connection within ${connectMs} ms`);
      });
    }
    if (framing.kind === "none") {
      connection.endRequest();
      connection.write(this.#head);
      return;
    }
    if (expectsContinue) reply.proceed();
    this.#body = new RequestBody(body, framing, connection, {
      onDone: () => {
        connection.endRequest();
        // From now on it is the application's time.
        if (connection.isConnected && !reply.begun) this.#awaitHead();
      },
      onBroken: () => {
        this.#gone();
      },
    });
    // Behind the body's first bytes, if they are there: one piece with the head.
    connection.gather();
    connection.write(this.#head);
  }

  refused({ code, detail }: UpstreamFailure): void {
    this.#fail(code, detail);
  }

  connected(): void {
    this.#awaitHead();
  }

  head(head: ResponseHead): void {
    const { reply } = this.#exchange;
    const { lines, trailers } = responseHeaders(head.headers);
    this.#trailers = trailers;
    this.#watchAnswer();
    try {
      reply.head({
        status: head.status,
        reason: head.reason,
        // RFC 9110 §8.6: a 204 has no length, and a reader that believes one would wait for it.
        headers: head.status === 204 ? lines.filter(({ key }) => key !== "content-length") : lines,
      });
    } catch (cause) {
      // Whatever it is: it must end this exchange and not the process.
      const detail = `The application's answer cannot be passed on: ${describe(cause)}`;
      this.#fail("upstream.malformed", detail);
    }
  }

  body(chunk: Buffer): boolean {
    const { body } = this.#exchange.reply;
    if (body.write(chunk)) return true;
    this.#isBlocked = true;
    body.once("drain", () => {
      this.#isBlocked = false;
      if (!this.#isSettled) this.#connection?.resume();
    });
    return false;
  }

  end(trailers: readonly string[]): void {
    const { reply } = this.#exchange;
    this.#settle({ kind: "answered" });
    if (this.#trailers.size > 0) reply.trailers(trailerLines(trailers, this.#trailers));
    reply.body.end();
  }

  drained(): void {
    this.#body?.drained();
  }

  failed({ code, detail, diedIdle }: UpstreamFailure): void {
    if (diedIdle && !this.#isRetry && this.#isRepeatable()) {
      this.#isRetry = true;
      this.#disarm();
      this.#connection = undefined;
      this.#pool.acquire(this, true);
      return;
    }
    this.#fail(code, detail);
  }

  #awaitHead(): void {
    const { responseHeadMs } = this.#limits;
    const taken = this.#body?.taken;
    this.#disarm();
    this.#disarm = this.#deadlines.arm(responseHeadMs, () => {
      // A long body is no slow answer, as long as it moves.
      if (taken !== this.#body?.taken) this.#awaitHead();
      else this.#tooLate("No response head", responseHeadMs);
    });
  }

  #watchAnswer(): void {
    const { responseIdleMs } = this.#limits;
    const read = this.#connection?.bytesRead;
    const taken = this.#body?.taken;
    this.#disarm();
    this.#disarm = this.#deadlines.arm(responseIdleMs, () => {
      // A caller who does not read is the listener's to end.
      const moved = read !== this.#connection?.bytesRead || taken !== this.#body?.taken;
      if (moved || this.#isBlocked) this.#watchAnswer();
      else this.#tooLate("Nothing more of the response", responseIdleMs);
    });
  }

  /** Nobody moves; who should have? */
  #tooLate(what: string, ms: number): void {
    const body = this.#body;
    if (body !== undefined && !body.isOver && !body.isBlocked) {
      this.#fail("request.timeout", `Nothing of the request's body came within ${ms} ms`);
    } else {
      this.#fail("upstream.timeout", `${what} within ${ms} ms`);
    }
  }

  #gone(): void {
    if (this.#isSettled) return;
    this.#settle({ kind: "gone" });
    this.#connection?.destroy();
  }

  #fail(code: ForwardCode, detail: string): void {
    if (this.#isSettled) return;
    const { reply } = this.#exchange;
    const kind = reply.begun ? "cut" : "failed";
    this.#settle({ kind, code, detail });
    this.#connection?.destroy();
    if (kind === "cut") reply.cut();
  }

  #settle(forwarded: Forwarded): void {
    this.#isSettled = true;
    this.#disarm();
    this.#body?.stop();
    if (this.#connection === undefined) this.#pool.withdraw(this);
    this.#resolve(forwarded);
  }

  /** Nothing of it is used up, and doing it twice does no harm. */
  #isRepeatable(): boolean {
    return this.#exchange.framing.kind === "none" && IDEMPOTENT.has(this.#exchange.method);
  }
}

function nothing(): void {
  // Nothing is armed.
}
