/**
 * The port for probes, metrics and operators. Read-only (GET and HEAD), apart from the traffic's port, bound to
 * loopback by default. Decides nothing by what a request says of itself: neither by Host nor by any header.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PosternError, describe } from "./error.ts";
import { http } from "./http.ts";
import type { Log } from "./log.ts";
import type { Address } from "./parsers.ts";

export interface AdminAnswer {
  readonly status?: number;
  readonly contentType: string;
  readonly body: string;
}

/** Why not ready; ready when empty. */
export type Readiness = () => readonly string[];

export interface AdminServerOptions {
  readonly listen: Address;
  readonly log: Log;
  readonly ready: Readiness;
  /** In Prometheus' text format 0.0.4. */
  readonly metrics: () => string | Promise<string>;
  /** More paths to GET, exactly as written. */
  readonly routes?: Readonly<Record<string, () => AdminAnswer | Promise<AdminAnswer>>>;
}

export interface AdminServer extends AsyncDisposable {
  readonly address: Address;
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_WITHIN_MS = 5_000;
const MAX_CONNECTIONS = 128;

export async function openAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const routes = routesOf(options);
  const server = http.createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_WITHIN_MS,
      requestTimeout: REQUEST_WITHIN_MS,
      keepAliveTimeout: REQUEST_WITHIN_MS,
    },
    (request, response) => void answer(routes, options.log, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, options.listen);
  const bound = server.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    return closed;
  };
  return {
    address: { host: bound.address, port: bound.port },
    close,
    [Symbol.asyncDispose]: close,
  };
}

export function jsonAnswer(value: unknown, status = 200): AdminAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value, null, 2)}\n` };
}

type Routes = ReadonlyMap<string, () => AdminAnswer | Promise<AdminAnswer>>;

function routesOf(options: AdminServerOptions): Routes {
  return new Map([
    ...Object.entries(options.routes ?? {}),
    ["/livez", () => jsonAnswer({ alive: true })],
    [
      "/readyz",
      () => {
        const reasons = options.ready();
        return jsonAnswer(
          { ready: reasons.length === 0, reasons },
          reasons.length === 0 ? 200 : 503,
        );
      },
    ],
    [
      "/metrics",
      async () => ({
        contentType: "text/plain; version=0.0.4; charset=utf-8",
        body: await options.metrics(),
      }),
    ],
  ]);
}

async function answer(
  routes: Routes,
  log: Log,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Nothing here takes a body; what is sent is thrown away as it comes.
  request.resume();
  const result = await resultOf(routes, log, request);
  const body = Buffer.from(result.body, "utf8");
  response.writeHead(result.status ?? 200, {
    "content-type": result.contentType,
    "content-length": body.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(result.status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function resultOf(routes: Routes, log: Log, request: IncomingMessage): Promise<AdminAnswer> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return jsonAnswer({ error: "Only GET and HEAD are answered here" }, 405);
  }
  const path = (request.url ?? "").split("?", 1)[0] ?? "";
  const route = routes.get(path);
  if (route === undefined) {
    return jsonAnswer({ error: "Not found", paths: [...routes.keys()].toSorted() }, 404);
  }
  try {
    return await route();
  } catch (cause) {
    log.error("Cannot answer on the admin port", { path, error: describe(cause) });
    return jsonAnswer({ error: "Failed; see the log" }, 500);
  }
}

function listen(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new PosternError("listen.failed", `Cannot listen on ${host}:${port} for admin`, { cause }),
      ),
    );
    server.listen(port, host, resolve);
  });
}
