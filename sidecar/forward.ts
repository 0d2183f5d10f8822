/**
 * The only way to the application, and it takes a Permit. What is sent is written anew from what was decided
 * on; bodies stream both ways with back-pressure and are never held. An answer that breaks off is broken off
 * towards the caller too: a cut never looks like an end.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { http } from "../runtime/http.ts";
import type { DenialCode } from "../policy/denials.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Exchange } from "./exchange.ts";
import { requestHeaders, responseHeaders, trailerLines } from "./hop-by-hop.ts";
import type { Permit } from "./pipeline.ts";
import type { Upstream } from "./upstream.ts";
import { isClosedConnection, upstreamDenial, watchBehind } from "./upstream.ts";

export type UpstreamCode = Extract<DenialCode, `upstream.${string}`>;

export type Forwarded =
  /** The application's whole answer was passed on. */
  | { readonly kind: "answered" }
  /** Nothing was sent to the caller yet. */
  | { readonly kind: "failed"; readonly code: UpstreamCode; readonly detail: string }
  /** The answer had begun, and was broken off. */
  | { readonly kind: "cut"; readonly code: UpstreamCode; readonly detail: string }
  /** The caller went away first. */
  | { readonly kind: "gone" };

export interface ForwardDeadlines {
  readonly connectMs: number;
  /** To the response's head, from the connection or from the last move of a body that is still being sent. */
  readonly responseHeadMs: number;
}

/** Repeating these changes nothing (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export function forward(
  permit: Permit,
  upstream: Upstream,
  deadlines: Deadlines,
  limits: ForwardDeadlines,
): Promise<Forwarded> {
  return new Promise((resolve) => {
    attempt(permit, upstream, deadlines, limits, false, resolve);
  });
}

function attempt(
  permit: Permit,
  upstream: Upstream,
  deadlines: Deadlines,
  limits: ForwardDeadlines,
  isRetry: boolean,
  resolve: (forwarded: Forwarded) => void,
): void {
  const { exchange } = permit;
  const { reply } = exchange;
  const outgoing = http.request({
    host: upstream.host,
    port: upstream.port,
    agent: upstream.agent,
    method: exchange.method,
    path: exchange.target,
    headers: requestHeaders(exchange, permit.identity),
    setHost: false,
    insecureHTTPParser: false,
    // A reused connection may be dead; the second try opens its own.
    ...(isRetry && { agent: false, createConnection: upstream.connect }),
  });
  // Node drops lines beyond its maximum in silence.
  outgoing.maxHeadersCount = 0;
  let settled = false;
  let incoming: IncomingMessage | undefined;
  /** Whether the application has said anything since this request is on its connection. */
  let hasAnswered = (): boolean => false;
  let disarm = deadlines.arm(limits.connectMs, () => {
    fail("upstream.timeout", `No connection within ${limits.connectMs} ms`);
  });
  const settle = (forwarded: Forwarded): void => {
    if (settled) return;
    settled = true;
    disarm();
    resolve(forwarded);
  };
  const fail = (code: UpstreamCode, detail: string): void => {
    if (settled) return;
    const begun = reply.begun;
    settle({ kind: begun ? "cut" : "failed", code, detail });
    outgoing.destroy();
    if (begun) reply.cut();
  };

  outgoing.on("socket", (socket) => {
    const readBefore = socket.bytesRead;
    hasAnswered = () => socket.bytesRead > readBefore;
    const awaitHead = (): void => {
      const written = socket.bytesWritten;
      disarm = deadlines.arm(limits.responseHeadMs, () => {
        // A long body is no slow answer, as long as it moves.
        if (!outgoing.writableFinished && socket.bytesWritten > written) awaitHead();
        else fail("upstream.timeout", `No response head within ${limits.responseHeadMs} ms`);
      });
    };
    const connected = (): void => {
      disarm();
      if (!settled) awaitHead();
    };
    if (socket.connecting) socket.once("connect", connected);
    else connected();
  });
  outgoing.on("error", (error) => {
    if (settled) return;
    const diedIdle = outgoing.reusedSocket && isClosedConnection(error) && !hasAnswered();
    if (!isRetry && diedIdle && isRepeatable(exchange)) {
      settled = true;
      disarm();
      attempt(permit, upstream, deadlines, limits, true, resolve);
      return;
    }
    // What goes wrong behind a whole answer is not the answer's.
    if (incoming?.complete === true) return;
    const denial = upstreamDenial(error);
    fail(denial.code, denial.detail);
  });
  // Only a switch of protocols ends here, and nobody has asked for one (CVE-2024-23326).
  outgoing.on("upgrade", (_response, socket) => {
    socket.destroy();
    fail("upstream.malformed", "The application switched protocols unasked");
  });
  outgoing.on("response", (response) => {
    incoming = response;
    disarm();
    if (settled) {
      response.destroy();
      return;
    }
    watchBehind(response);
    passOn(response, outgoing, exchange, settle, fail);
  });
  reply.onClosed((completed) => {
    if (completed) return;
    settle({ kind: "gone" });
    outgoing.destroy();
  });
  sendBody(exchange, outgoing, settle);
}

function sendBody(
  exchange: Exchange,
  outgoing: ClientRequest,
  settle: (forwarded: Forwarded) => void,
): void {
  if (exchange.framing.kind === "none") {
    outgoing.end();
    return;
  }
  if (exchange.expectsContinue) exchange.reply.proceed();
  exchange.body.pipe(outgoing);
  exchange.body.once("error", () => {
    settle({ kind: "gone" });
    outgoing.destroy();
  });
}

function passOn(
  response: IncomingMessage,
  outgoing: ClientRequest,
  exchange: Exchange,
  settle: (forwarded: Forwarded) => void,
  fail: (code: UpstreamCode, detail: string) => void,
): void {
  const { reply } = exchange;
  const { lines, trailers, codings } = responseHeaders(response.rawHeaders);
  const strange = codings.find(
    (coding) => coding.toLowerCase() !== "chunked" || isHttp10(response),
  );
  // We ask for no coding, and take off none but this one (RFC 9112 §6.1); HTTP/1.0 has none.
  if (strange !== undefined) {
    fail("upstream.malformed", `The application's answer has the transfer coding "${strange}"`);
    return;
  }
  try {
    reply.head({
      status: response.statusCode ?? 0,
      reason: response.statusMessage ?? "",
      headers: lines,
    });
  } catch (cause) {
    if (!(cause instanceof TypeError || cause instanceof RangeError)) throw cause;
    fail("upstream.malformed", `The application's answer cannot be passed on: ${cause.message}`);
    return;
  }
  response.pipe(reply.body, { end: false });
  response.once("end", () => {
    if (!response.complete) return;
    if (trailers.size > 0) reply.trailers(trailerLines(response.rawTrailers, trailers));
    reply.body.end();
    // An answer before the whole request was read: the connection's state is nobody's guess.
    if (!outgoing.writableFinished) outgoing.destroy();
    settle({ kind: "answered" });
  });
  response.once("error", (error) => {
    const denial = upstreamDenial(error);
    fail(denial.code, denial.detail);
  });
  response.once("close", () => {
    if (!response.complete) fail("upstream.reset", "The application broke its answer off");
  });
}

function isHttp10(response: IncomingMessage): boolean {
  return response.httpVersionMajor === 1 && response.httpVersionMinor === 0;
}

/** Nothing of it is used up, and doing it twice does no harm. */
function isRepeatable(exchange: Exchange): boolean {
  return exchange.framing.kind === "none" && IDEMPOTENT.has(exchange.method);
}
