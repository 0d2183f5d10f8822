/**
 * HTTP/1.1 over node:http, strict: whatever its parser doubts is refused, and everything that it hides or
 * repairs is turned off. The only folder that knows node:http's types; the pipeline sees an Exchange.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { randomUUID } from "node:crypto";
import { http } from "../../runtime/http.ts";
import type { DenialCode } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import { PosternError } from "../../runtime/error.ts";
import { canonicalAddress } from "../connection/client-address.ts";
import { countRequest } from "../metrics.ts";
import { MAX_HEADER_BYTES } from "../normal-form/headers.ts";
import { refuseBytes } from "../respond.ts";
import type { ServeOptions } from "../serve.ts";
import { serve } from "../serve.ts";
import { Connection } from "./connection.ts";
import { createReply } from "./reply.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ListenerLimits {
  /** For a request's whole head, from its first byte or the connection's start. */
  readonly headersMs: number;
  /** For the next request on a connection. */
  readonly keepAliveMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
  /** More are closed at once. */
  readonly maxConnections: number;
}

export interface ListenerOptions extends ServeOptions {
  readonly limits: ServeOptions["limits"] & ListenerLimits;
}

export interface Listener {
  listen(address: ListenAddress): Promise<ListenAddress>;
  readonly address: ListenAddress | undefined;
  readonly connections: number;
  drain(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function createListener(options: ListenerOptions): Listener {
  const { limits, metrics } = options;
  const sockets = new Set<Socket>();
  const connections = new WeakMap<Duplex, Connection>();
  let inFlight = 0;
  let draining = false;
  let address: ListenAddress | undefined;

  const server = createStrictServer(limits);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // Node takes its own listener off before it hands a CONNECT over; a reset would then end the process.
    socket.on("error", () => socket.destroy());
  });
  server.on("request", onRequest);
  // Answered only after the permit: a body that we refuse is never sent.
  server.on("checkContinue", onRequest);
  // Not answered by Node: ours is the sentence that says why.
  server.on("checkExpectation", onRequest);
  server.on("connect", (request: IncomingMessage, socket: Duplex) => {
    const connection = connectionOf(socket);
    // An answer now would be taken for the answer to a request before it.
    if (connection.isServing) {
      socket.destroy();
      return;
    }
    refuseRaw(socket, request.socket.remoteAddress, "request.method", "CONNECT is never forwarded");
  });
  server.on("clientError", onClientError);
  server.on("drop", () => {
    metrics.count("postern_connections_dropped_total");
  });
  metrics.gauge("postern_requests_in_flight", () => inFlight);
  metrics.gauge("postern_connections", () => sockets.size);

  return {
    listen: async (wanted) => {
      address = await listen(server, wanted);
      return address;
    },
    get address() {
      return address;
    },
    get connections() {
      return sockets.size;
    },
    drain: async (signal) => {
      draining = true;
      const closed = closeServer(server);
      // Node counts a connection that has said nothing yet as busy; nobody loses a request with it.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      const cut = (): void => {
        for (const socket of sockets) socket.destroy();
      };
      if (signal.aborted) cut();
      else signal.addEventListener("abort", cut, { once: true });
      await closed;
      signal.removeEventListener("abort", cut);
    },
    close: async () => {
      draining = true;
      const closed = closeServer(server);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const connection = connectionOf(socket);
    const version = VERSIONS[request.httpVersion];
    const reply = createReply(request, response, {
      deadlines: options.deadlines,
      isDraining: () => draining,
      onEnding: () => {
        connection.endAfterPresent();
      },
    });
    const arrival = {
      raw: {
        method: request.method ?? "",
        target: request.url ?? "",
        version: version ?? "1.1",
        headers: request.rawHeaders,
      },
      body: request,
      mayHaveBody: hasFraming(request),
      reply,
      client: { address: canonicalAddress(socket.remoteAddress), port: socket.remotePort ?? 0 },
    };
    connection.enqueue(response, async () => {
      inFlight += 1;
      const refusal =
        version === undefined
          ? deny("request.malformed", `The version is HTTP/${request.httpVersion}`)
          : draining
            ? deny("sidecar.draining", "The request came after the drain had begun")
            : undefined;
      try {
        await serve(arrival, options, refusal);
      } finally {
        inFlight -= 1;
      }
    });
  }

  function connectionOf(socket: Duplex): Connection {
    const known = connections.get(socket);
    if (known !== undefined) return known;
    const connection = new Connection(socket);
    connections.set(socket, connection);
    return connection;
  }

  function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    const { sayable, isServing } = connectionOf(socket);
    // What comes after `Connection: close` is not read (RFC 9112 §9.6); the answer to what came before is.
    if (error.code === "HPE_CLOSED_CONNECTION" && isServing) return;
    const code = parserDenial(error);
    // Nothing to say to a connection that is gone, or in the middle of somebody's answer.
    if (code === undefined || !socket.writable || sayable === "nothing") {
      socket.destroy();
      return;
    }
    if (sayable === "present") {
      endSoon(socket);
      return;
    }
    connectionOf(socket).endAfterPresent();
    const reason = (error as { readonly reason?: string }).reason ?? error.message;
    refuseRaw(socket, (socket as Socket).remoteAddress, code, `The parser says: ${reason}`);
  }

  /** Takes the rest off the wire for a moment; a reset would destroy the answer on its way. */
  function endSoon(socket: Duplex): void {
    socket.end();
    socket.resume();
    options.deadlines.arm(CLOSE_MS, () => socket.destroy());
  }

  function refuseRaw(
    socket: Duplex,
    clientAddress: string | undefined,
    code: DenialCode,
    detail: string,
  ): void {
    const requestId = randomUUID();
    const bytes = refuseBytes({ code, requestId });
    socket.write(bytes);
    endSoon(socket);
    countRequest(metrics, "deny", code);
    options.record({
      requestId,
      clientAddress: clientAddress ?? "",
      outcome: "deny",
      status: Number(bytes.toString().slice(9, 12)),
      durationMs: 0,
      code,
      detail,
      check: "framing",
    });
  }
}

/** As far as node:http speaks them; 0.9 and 2.0, which its parser lets through as text, are neither. */
const VERSIONS: Readonly<Record<string, "1.0" | "1.1">> = { "1.0": "1.0", "1.1": "1.1" };

/** How long a refused connection may take to go by itself. */
const CLOSE_MS = 1_000;

function createStrictServer(limits: ListenerLimits): Server {
  const server = http.createServer({
    insecureHTTPParser: false,
    // Ours is the answer; see host.ts.
    requireHostHeader: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: limits.headersMs,
    // Bodies stream for as long as they move; `timeout` below ends those that do not.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1_000, limits.headersMs / 4)),
    noDelay: true,
    rejectNonStandardBodyWrites: false,
    shouldUpgradeCallback: () => false,
  });
  // Node drops lines beyond its maximum in silence; ours are counted and refused, see headers.ts.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = 0;
  server.maxConnections = limits.maxConnections;
  server.timeout = limits.idleMs;
  return server;
}

async function listen(server: Server, { host, port }: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      const where = `${host}:${port}`;
      reject(new PosternError("listen.failed", `Cannot listen on "${where}"`, { cause }));
    };
    server.once("error", failed);
    server.listen({ host, port }, () => {
      server.removeListener("error", failed);
      resolve();
    });
  });
  const bound = server.address();
  return typeof bound === "object" && bound !== null
    ? { host: bound.address, port: bound.port }
    : { host, port };
}

/** Closes idle connections too; resolves when none is left. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // The only error is "not running", and then there is nothing to wait for.
    server.close(() => {
      resolve();
    });
  });
}

function hasFraming(request: IncomingMessage): boolean {
  const { headers } = request;
  return (
    headers["transfer-encoding"] !== undefined ||
    (headers["content-length"] !== undefined && headers["content-length"] !== "0")
  );
}

/** Undefined: the connection broke, there is nobody to answer. */
function parserDenial(error: NodeJS.ErrnoException): DenialCode | undefined {
  switch (error.code ?? "") {
    case "HPE_HEADER_OVERFLOW":
      return "request.header-size";
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return "request.timeout";
    case "ECONNRESET":
    case "EPIPE":
    case "HPE_INVALID_EOF_STATE":
      return undefined;
    default:
      return "request.malformed";
  }
}
