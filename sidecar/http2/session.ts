/**
 * One HTTP/2 connection: its requests side by side, each served like any other, and what the connection may
 * cost as a whole. What goes wrong with one stream is that stream's; a flood ends the connection.
 */
import type * as http2 from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { Denial } from "../../policy/denials.ts";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError } from "../../runtime/error.ts";
import type { Inbound } from "../connection/inbound.ts";
import type { Deadlines } from "../deadlines.ts";
import type { Metrics } from "../metrics.ts";
import type { Arrival } from "../serve.ts";
import { RequestBody } from "./body.ts";
import { Budget } from "./budget.ts";
import { CODES } from "./codes.ts";
import { readHead } from "./head.ts";
import type { Http2Limits } from "./limits.ts";
import {
  CLOSE_MS,
  MAX_FIELDS,
  MAX_INVALID_FRAMES,
  MAX_SESSION_MEMORY,
  SESSION_WINDOW,
  STREAM_WINDOW,
} from "./limits.ts";
import { createHttp2Reply } from "./reply.ts";

/** Why we have ended a connection, or a stream. The labels of the metric. */
export type Http2End =
  | "hello-timeout"
  | "idle"
  | "age"
  | "stall"
  | "reset-flood"
  | "stream-flood"
  | "ping-flood"
  | "settings-flood"
  | "invalid-frames"
  | "protocol";

export interface SessionOptions {
  readonly limits: Http2Limits;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Serves one request; never rejects. */
  readonly onRequest: (arrival: Arrival, refusal: Denial | undefined) => void;
  /** Nothing of the connection is left. */
  readonly onClosed: () => void;
}

export interface Session {
  /** No new requests; those under way end, and with the last the connection. */
  drain(): void;
  destroy(): void;
}

export function openSession({ socket, client }: Inbound, options: SessionOptions): Session {
  const { limits, deadlines, clock, metrics } = options;
  const session = loadHttp2().performServerHandshake(socket, {
    settings: {
      maxConcurrentStreams: limits.maxStreams,
      // Enforced by normal form, in a sentence.
      maxHeaderListSize: 32 * 1024,
      initialWindowSize: STREAM_WINDOW,
      enablePush: false,
      enableConnectProtocol: false,
    },
    maxHeaderListPairs: MAX_FIELDS,
    maxSessionInvalidFrames: MAX_INVALID_FRAMES,
    maxSessionMemory: MAX_SESSION_MEMORY,
    // An answer is passed on as it is; see hop-by-hop.ts for what is not.
    strictSingleValueFields: false,
  });
  const resets = new Budget(limits.resets, clock);
  const pings = new Budget(limits.pings, clock);
  const settings = new Budget(limits.settings, clock);
  let streams = 0;
  /** No new requests. */
  let isEnding = false;
  /** Not even those that are there. */
  let isOver = false;
  let disarm = (): void => undefined;
  /** The one deadline that the connection is under; the next takes its place. */
  const within = (ms: number, fire: () => void): void => {
    disarm();
    disarm = deadlines.arm(ms, fire);
  };
  within(limits.headersMs, () => {
    end("hello-timeout", CODES.SETTINGS_TIMEOUT);
  });
  const disarmAge =
    limits.maxAgeMs === 0
      ? undefined
      : deadlines.arm(limits.maxAgeMs, () => {
          metrics.count("postern_http2_ended_total", "age");
          drain();
        });

  session.once("connect", () => {
    session.setLocalWindowSize(SESSION_WINDOW);
  });
  session.once("remoteSettings", () => {
    if (!isEnding && streams === 0) awaitRequest();
  });
  session.on("remoteSettings", () => {
    if (!settings.spend()) end("settings-flood", CODES.ENHANCE_YOUR_CALM);
  });
  session.on("ping", () => {
    if (!pings.spend()) end("ping-flood", CODES.ENHANCE_YOUR_CALM);
  });
  // Node has sent GOAWAY by then.
  session.on("error", (error: NodeJS.ErrnoException) => {
    const reason = endOf(error);
    if (reason !== undefined && !isEnding) metrics.count("postern_http2_ended_total", reason);
    isEnding = true;
  });
  session.on("stream", onStream);
  session.once("goaway", () => {
    isEnding = true;
    if (streams === 0) leaveSoon();
  });
  // Half a connection is none in HTTP/2: without window updates to come, no answer could be sure to end.
  socket.once("end", () => socket.destroy());
  socket.once("close", () => {
    disarm();
    disarmAge?.();
    options.onClosed();
  });
  return { drain, destroy: () => socket.destroy() };

  function onStream(stream: ServerHttp2Stream, _: unknown, flags: number, fields: string[]): void {
    // Its errors are the caller's; the end of it is what counts.
    stream.on("error", () => undefined);
    // A reset that came with the request is seen first: then it costs nothing but the caller's budget.
    setImmediate(() => {
      if (!stream.closed && !stream.destroyed) take(stream, (flags & END_STREAM) === 0, fields);
      else charge();
    });
  }

  function take(stream: ServerHttp2Stream, hasBody: boolean, fields: readonly string[]): void {
    streams += 1;
    if (streams === 1) watchBytes();
    const head = readHead(fields, { encrypted: client.tls !== undefined, hasBody });
    const refund = (): void => pings.refund();
    const body = new RequestBody(stream, hasBody, refund);
    const isHead = head.raw.method === "HEAD";
    const reply = createHttp2Reply(
      stream,
      {
        deadlines,
        stallMs: limits.stallMs,
        body,
        onProgress: refund,
        onStall: () => metrics.count("postern_http2_ended_total", "stall"),
      },
      isHead,
    );
    reply.onClosed((completed) => {
      streams -= 1;
      if (completed) resets.refund();
      else if (!reply.isCut) charge();
      if (streams > 0) return;
      if (isEnding) leaveSoon();
      else awaitRequest();
    });
    options.onRequest({ raw: head.raw, body, mayHaveBody: hasBody, reply, client }, head.refusal);
  }

  /** Whoever resets what it has asked for costs us a decision, and the application perhaps a request. */
  function charge(): void {
    if (!resets.spend()) end("reset-flood", CODES.ENHANCE_YOUR_CALM);
  }

  function awaitRequest(): void {
    within(limits.keepAliveMs, () => {
      metrics.count("postern_http2_ended_total", "idle");
      drain();
    });
  }

  function watchBytes(): void {
    const seen = socket.bytesRead + socket.bytesWritten;
    within(limits.idleMs, () => {
      if (socket.bytesRead + socket.bytesWritten > seen) watchBytes();
      else end("idle", CODES.NO_ERROR);
    });
  }

  function drain(): void {
    if (isEnding) return;
    isEnding = true;
    session.close();
    if (streams === 0) leaveSoon();
  }

  function end(reason: Http2End, code: number): void {
    if (isOver || session.destroyed) return;
    isOver = true;
    isEnding = true;
    metrics.count("postern_http2_ended_total", reason);
    // Not on the parser's stack: we may stand in the middle of a frame.
    setImmediate(() => session.destroy(new PosternError("aborted", `We end it: ${reason}`), code));
    leaveSoon();
  }

  /** The word of farewell gets a moment to arrive; Node would wait for the caller to close its half, too. */
  function leaveSoon(): void {
    isEnding = true;
    within(CLOSE_MS, () => {
      if (streams === 0 || session.destroyed) socket.destroy();
    });
  }
}

/** Of a HEADERS frame (RFC 9113 §6.2). */
const END_STREAM = 0x1;

/**
 * As late as possible: most sidecars never meet an HTTP/2 caller, and the module is 9 MB of resident memory.
 */
function loadHttp2(): typeof http2 {
  return process.getBuiltinModule("node:http2");
}

/** NGHTTP2_ERR_CALLBACK_FAILURE. */
const CALLBACK_FAILURE = -902;

/** Undefined: the connection broke, or the caller said goodbye. */
function endOf(error: NodeJS.ErrnoException): Http2End | undefined {
  switch (error.code ?? "") {
    case "ERR_HTTP2_TOO_MANY_INVALID_FRAMES":
      return "invalid-frames";
    case "ERR_HTTP2_ERROR":
      // Node's parser gave up: more streams came at once than it takes, the refused ones counted.
      return error.errno === CALLBACK_FAILURE ? "stream-flood" : "protocol";
    default:
      return undefined;
  }
}
