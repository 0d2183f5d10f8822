/**
 * An acceptor in front of servers that keep what they were given: node:http and node:http2, so that bytes which
 * were lost or doubled on the way show.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../runtime/clock.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { LogFields } from "../../runtime/log.ts";
import { silentLog } from "../../runtime/log.ts";
import type { Acceptor, AcceptorLimits } from "../../sidecar/connection/acceptor.ts";
import { createAcceptor } from "../../sidecar/connection/acceptor.ts";
import type { Inbound, ProtocolServer, ProxyHeaderUse } from "../../sidecar/connection/inbound.ts";
import type { TlsFiles, WatchedTlsFiles } from "../../sidecar/connection/tls-files.ts";
import { watchTlsFiles } from "../../sidecar/connection/tls-files.ts";
import { Deadlines } from "../../sidecar/deadlines.ts";
import type { Metrics } from "../../sidecar/metrics.ts";
import { createMetrics } from "../../sidecar/metrics.ts";
import type { Issued } from "./certificates.ts";

export interface AcceptorStand extends AsyncDisposable {
  readonly acceptor: Acceptor;
  readonly address: { readonly host: string; readonly port: number };
  readonly metrics: Metrics;
  readonly errors: readonly { readonly message: string; readonly fields: LogFields }[];
  /** In the order in which they came. */
  readonly inbounds: readonly Inbound[];
  readonly files: WatchedTlsFiles | undefined;
  proxyHeader: ProxyHeaderUse;
  /** Each request waits for it before it is answered. */
  gate: Promise<void>;
}

export interface StandOptions {
  readonly clock?: Clock;
  readonly tls?: TlsFiles;
  readonly limits?: Partial<AcceptorLimits>;
  readonly h2?: boolean;
  readonly listen?: { readonly host: string; readonly port: number };
}

const LIMITS: AcceptorLimits = {
  maxConnections: 1000,
  firstBytesMs: 10_000,
  handshakeMs: 5_000,
  maxHandshakes: 100,
};

export async function openStand(options: StandOptions = {}): Promise<AcceptorStand> {
  const clock = options.clock ?? systemClock;
  const metrics = createMetrics();
  const errors: { message: string; fields: LogFields }[] = [];
  const log = {
    ...silentLog,
    error: (message: string, fields: LogFields = {}): void => void errors.push({ message, fields }),
  };
  const inbounds: Inbound[] = [];
  const answer = (
    request: { readonly url?: string | undefined },
    response: { end: (text: string) => unknown },
  ): void => {
    void stand.gate.then(() => response.end(`answer to ${request.url}`));
  };
  const http = createHttpServer(answer);
  const http2 = createHttp2Server(answer);
  const files =
    options.tls === undefined
      ? undefined
      : await watchTlsFiles(options.tls, { clock, log, metrics });
  const deadlines = new Deadlines(clock);
  const acceptor = createAcceptor({
    servers: {
      "http/1.1": protocolServer((inbound) => {
        inbounds.push(inbound);
        http.emit("connection", inbound.socket);
      }),
      ...(options.h2 === true && {
        h2: protocolServer((inbound) => {
          inbounds.push(inbound);
          http2.emit("connection", inbound.socket);
        }),
      }),
    },
    proxyHeader: () => stand.proxyHeader,
    ...(files !== undefined && { tls: files }),
    limits: { ...LIMITS, ...options.limits },
    deadlines,
    clock,
    log,
    metrics,
  });
  const address = await acceptor.listen(options.listen ?? { host: "127.0.0.1", port: 0 });
  const stand: AcceptorStand = {
    acceptor,
    address,
    metrics,
    errors,
    inbounds,
    files,
    proxyHeader: "none",
    gate: Promise.resolve(),
    [Symbol.asyncDispose]: async () => {
      await acceptor.close();
      deadlines.close();
      files?.[Symbol.dispose]();
      http.closeAllConnections();
    },
  };
  return stand;
}

export interface TlsFolder extends Disposable {
  readonly files: TlsFiles;
  write(name: "cert" | "key" | "clientCa", text: string): void;
  install(issued: Issued): void;
}

export function tlsFolder(issued: Issued, clientCa?: string): TlsFolder {
  const folder = mkdtempSync(join(tmpdir(), "postern-tls-"));
  const files = {
    cert: join(folder, "tls.crt"),
    key: join(folder, "tls.key"),
    ...(clientCa !== undefined && { clientCa: join(folder, "ca.crt") }),
  };
  const write: TlsFolder["write"] = (name, text) => {
    writeFileSync(files[name] ?? join(folder, "unused"), text);
  };
  const install: TlsFolder["install"] = ({ cert, key }) => {
    write("cert", cert);
    write("key", key);
  };
  install(issued);
  if (clientCa !== undefined) write("clientCa", clientCa);
  return {
    files,
    write,
    install,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function protocolServer(serve: (inbound: Inbound) => void): ProtocolServer {
  const sockets = new Set<Socket>();
  const gone: (() => void)[] = [];
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    serve: (inbound) => {
      const { socket } = inbound;
      sockets.add(socket);
      socket.once("close", () => {
        sockets.delete(socket);
        if (sockets.size === 0) for (const tell of gone) tell();
      });
      serve(inbound);
    },
    get connections() {
      return sockets.size;
    },
    drain: (signal) =>
      new Promise((resolve) => {
        gone.push(resolve);
        if (sockets.size === 0) resolve();
        else if (signal.aborted) cut();
        else signal.addEventListener("abort", cut, { once: true });
      }),
    close: () => {
      cut();
      return Promise.resolve();
    },
  };
}
