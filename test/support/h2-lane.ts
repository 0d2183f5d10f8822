/** HTTP/2 in front of a recording upstream, over connections that a plain server accepts. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:http2";
import type { Bundle } from "../../policy/bundle.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { Clock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import type { ClientOrigin } from "../../sidecar/connection/inbound.ts";
import { Deadlines } from "../../sidecar/deadlines.ts";
import type { DecisionRecord } from "../../sidecar/decision-record.ts";
import type { Http2Limits } from "../../sidecar/http2/limits.ts";
import type { Http2Server } from "../../sidecar/http2/server.ts";
import { createHttp2Server } from "../../sidecar/http2/server.ts";
import type { Metrics } from "../../sidecar/metrics.ts";
import { createMetrics } from "../../sidecar/metrics.ts";
import type { Prepared } from "../../sidecar/prepared.ts";
import { prepare } from "../../sidecar/prepared.ts";
import { createUpstream } from "../../sidecar/upstream.ts";
import { bundle, layer } from "./bundles.ts";
import type { FrameClient, FrameClientOptions } from "./h2-frames.ts";
import { frameClient } from "./h2-frames.ts";
import type { LoggedError } from "./lane.ts";
import type { RecordingUpstream } from "./upstream.ts";
import { recordingUpstream } from "./upstream.ts";

export interface H2Lane extends AsyncDisposable {
  readonly upstream: RecordingUpstream;
  readonly server: Http2Server;
  readonly metrics: Metrics;
  readonly records: readonly DecisionRecord[];
  readonly errors: readonly LoggedError[];
  readonly address: { readonly host: string; readonly port: number };
  /** Decides about the next request. */
  current: () => Prepared;
  frames(options?: FrameClientOptions): Promise<FrameClient>;
  /** A real client's session; closed with the lane. */
  session(): ClientHttp2Session;
}

export interface H2LaneOptions {
  readonly bundle?: Bundle;
  readonly http2?: Partial<Http2Limits>;
  readonly clock?: Clock;
  readonly client?: Partial<ClientOrigin>;
  readonly to?: { readonly host: string; readonly port: number };
  readonly responseHeadMs?: number;
  /** The first bytes are read and put back, as by somebody who has to find out the protocol. */
  readonly sniffs?: boolean;
}

export async function openH2Lane(options: H2LaneOptions = {}): Promise<H2Lane> {
  const recording = await recordingUpstream();
  const prepared = await prepare(options.bundle ?? bundle({ layers: [layer()] }));
  const metrics = createMetrics();
  const records: DecisionRecord[] = [];
  const errors: LoggedError[] = [];
  const clock = options.clock ?? systemClock;
  const deadlines = new Deadlines(clock);
  const upstream = createUpstream(options.to ?? recording);
  const server = createHttp2Server({
    current: () => lane.current(),
    upstream,
    deadlines,
    limits: { connectMs: 400, responseHeadMs: options.responseHeadMs ?? 2_000 },
    clock,
    log: { ...silentLog, error: (message, fields = {}) => errors.push({ message, fields }) },
    metrics,
    record: (record) => records.push(record),
    ...(options.http2 !== undefined && { http2: options.http2 }),
  });
  const acceptor = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    const serve = (): void =>
      server.serve({
        socket,
        protocol: "h2",
        client: {
          address: socket.remoteAddress ?? "",
          port: socket.remotePort ?? 0,
          ...options.client,
        },
      });
    if (options.sniffs !== true) {
      serve();
      return;
    }
    socket.once("readable", () => {
      const first: unknown = socket.read();
      if (first instanceof Uint8Array) socket.unshift(first);
      serve();
    });
  });
  await new Promise<void>((resolve) => acceptor.listen(0, "127.0.0.1", resolve));
  const address = { host: "127.0.0.1", port: (acceptor.address() as AddressInfo).port };
  const sessions: ClientHttp2Session[] = [];
  const lane: H2Lane = {
    upstream: recording,
    server,
    metrics,
    records,
    errors,
    address,
    current: () => prepared,
    frames: (how) => frameClient(address, how),
    session: () => {
      const session = connect(`http://${address.host}:${address.port}`);
      // What becomes of it is told by its requests.
      session.on("error", () => undefined);
      sessions.push(session);
      return session;
    },
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await server.close();
      await new Promise<void>((resolve) => acceptor.close(() => resolve()));
      upstream.close();
      deadlines.close();
      await recording.close();
    },
  };
  return lane;
}

export interface H2Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly informational: readonly number[];
  readonly body: string;
  /** Of the stream's end: 0 when it was a whole answer. */
  readonly code: number;
}

/** A whole exchange of a real client; resolves however it ends. */
export function exchange(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | ((stream: ClientHttp2Stream) => void),
): Promise<H2Response> {
  return new Promise((resolve) => {
    const stream = session.request(
      { ":authority": "a", ...headers },
      { endStream: body === undefined },
    );
    let head: Readonly<Record<string, unknown>> = {};
    let trailers: Readonly<Record<string, unknown>> = {};
    const informational: number[] = [];
    const chunks: Buffer[] = [];
    stream.on("headers", (fields) => informational.push(Number(fields[":status"])));
    stream.on("response", (fields) => {
      head = fields;
    });
    stream.on("trailers", (fields) => {
      trailers = fields;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    // The code says what there is to say.
    stream.on("error", () => undefined);
    stream.once("close", () => {
      resolve({
        status: Number(head[":status"] ?? 0),
        headers: head,
        trailers,
        informational,
        body: Buffer.concat(chunks).toString("latin1"),
        code: stream.rstCode,
      });
    });
    if (typeof body === "string") stream.end(body, "latin1");
    else body?.(stream);
  });
}
