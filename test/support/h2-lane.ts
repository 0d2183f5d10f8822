/** HTTP/2 in front of a recording upstream, over connections that a plain server or the real acceptor takes. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  OutgoingHttpHeaders,
  SecureClientSessionOptions,
} from "node:http2";
import { connect } from "node:http2";
import type { Bundle } from "../../policy/bundle.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { Clock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import type { AcceptorOptions } from "../../sidecar/connection/acceptor.ts";
import { createAcceptor } from "../../sidecar/connection/acceptor.ts";
import type { ClientOrigin, ProtocolServer } from "../../sidecar/connection/inbound.ts";
import type { TlsFiles } from "../../sidecar/connection/tls-files.ts";
import { watchTlsFiles } from "../../sidecar/connection/tls-files.ts";
import { Deadlines } from "../../sidecar/deadlines.ts";
import type { DecisionRecord } from "../../sidecar/decision-record.ts";
import type { Http2Limits } from "../../sidecar/http2/limits.ts";
import type { Http2Server } from "../../sidecar/http2/server.ts";
import { createHttp2Server } from "../../sidecar/http2/server.ts";
import type { Metrics } from "../../sidecar/metrics.ts";
import { createMetrics } from "../../sidecar/metrics.ts";
import type { Prepared } from "../../sidecar/prepared.ts";
import { prepare } from "../../sidecar/prepared.ts";
import { Pool } from "../../sidecar/upstream/pool.ts";
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
  session(how?: SecureClientSessionOptions): ClientHttp2Session;
}

export interface H2LaneOptions {
  readonly bundle?: Bundle;
  readonly http2?: Partial<Http2Limits>;
  readonly clock?: Clock;
  readonly client?: Partial<ClientOrigin>;
  readonly to?: { readonly host: string; readonly port: number };
  readonly responseHeadMs?: number;
  /** Connections come from the real acceptor, over TLS if there are files; else right from the socket. */
  readonly acceptor?: { readonly tls?: TlsFiles };
}

export async function openH2Lane(options: H2LaneOptions = {}): Promise<H2Lane> {
  const recording = await recordingUpstream();
  const prepared = await prepare(options.bundle ?? bundle({ layers: [layer()] }));
  const metrics = createMetrics();
  const records: DecisionRecord[] = [];
  const errors: LoggedError[] = [];
  const clock = options.clock ?? systemClock;
  const deadlines = new Deadlines(clock);
  const upstream = new Pool({
    address: options.to ?? { host: recording.host, port: recording.port },
    limits: { maxConnections: 1_000, maxWaiting: 1_000, waitMs: 2_000 },
    deadlines,
    clock,
  });
  const server = createHttp2Server({
    current: () => lane.current(),
    upstream,
    deadlines,
    limits: {
      connectMs: 400,
      responseHeadMs: options.responseHeadMs ?? 2_000,
      responseIdleMs: 60_000,
    },
    clock,
    log: { ...silentLog, error: (message, fields = {}) => errors.push({ message, fields }) },
    metrics,
    record: (record) => records.push(record),
    ...(options.http2 !== undefined && { http2: options.http2 }),
  });
  const door =
    options.acceptor === undefined
      ? await plainDoor(server, options.client ?? {})
      : await acceptorDoor(server, { ...options.acceptor, clock, deadlines, metrics });
  const { address } = door;
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
    session: (how = {}) => {
      const scheme = options.acceptor?.tls === undefined ? "http" : "https";
      const session = connect(`${scheme}://localhost:${address.port}`, how);
      // What becomes of it is told by its requests.
      session.on("error", () => undefined);
      sessions.push(session);
      return session;
    },
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await server.close();
      await door.close();
      upstream.close();
      deadlines.close();
      await recording.close();
    },
  };
  return lane;
}

interface Door {
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

async function plainDoor(server: Http2Server, client: Partial<ClientOrigin>): Promise<Door> {
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    const origin = { address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
    server.serve({ socket, protocol: "h2", client: { ...origin, ...client } });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    address: { host: "127.0.0.1", port: (listener.address() as AddressInfo).port },
    close: () => new Promise((resolve) => listener.close(() => resolve())),
  };
}

async function acceptorDoor(
  server: Http2Server,
  options: Pick<AcceptorOptions, "clock" | "deadlines"> & {
    readonly tls?: TlsFiles;
    readonly metrics: Metrics;
  },
): Promise<Door> {
  const { tls, metrics } = options;
  const clock = systemClock;
  const files =
    tls === undefined ? undefined : await watchTlsFiles(tls, { clock, log: silentLog, metrics });
  const acceptor = createAcceptor({
    servers: { "http/1.1": nobody, h2: server },
    proxyHeader: () => "none",
    ...(files !== undefined && { tls: files }),
    limits: { maxConnections: 100, firstBytesMs: 5_000, handshakeMs: 5_000, maxHandshakes: 10 },
    deadlines: options.deadlines,
    clock: options.clock,
    log: silentLog,
    metrics,
  });
  return {
    address: await acceptor.listen({ host: "127.0.0.1", port: 0 }),
    close: async () => {
      await acceptor.close();
      files?.[Symbol.dispose]();
    },
  };
}

/** Whoever speaks HTTP/1.1 has come to the wrong lane. */
const nobody: ProtocolServer = {
  serve: ({ socket }) => socket.destroy(),
  connections: 0,
  drain: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

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
