/**
 * HTTP/1.1 for callers. Connections come from the acceptor; requests go through the same checks and into the
 * same records as those of every other protocol. One sweep looks after the deadlines of all connections.
 */
import { randomUUID } from "node:crypto";
import type { Denial, DenialCode } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { Inbound, ProtocolServer } from "../connection/inbound.ts";
import { countRequest } from "../metrics.ts";
import { refuseBytes, statusOf } from "../respond.ts";
import type { Arrival, ServeOptions } from "../serve.ts";
import { serve } from "../serve.ts";
import type { ConnectionHost, ConnectionLimits } from "./connection-host.ts";
import { ServerConnection } from "./server-connection.ts";

export interface Http1ServerOptions extends ServeOptions {
  readonly limits: ServeOptions["limits"] & ConnectionLimits;
}

export interface Http1Server extends ProtocolServer {
  /** Requests that are being decided or forwarded. */
  readonly inFlight: number;
}

export function createHttp1Server(options: Http1ServerOptions): Http1Server {
  const { limits, deadlines, clock } = options;
  const connections = new Set<ServerConnection>();
  const tickMs = Math.max(50, Math.min(1_000, limits.headersMs / 4));
  const date = dateLine(() => clock.now());
  let waiting: (() => void)[] = [];
  let inFlight = 0;
  let draining = false;
  let isSweeping = false;

  const host: ConnectionHost = {
    get isDraining() {
      return draining;
    },
    get date() {
      return date();
    },
    keepAliveLines: `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(limits.keepAliveMs / 1_000)}\r\n`,
    limits,
    now: () => clock.now(),
    onRequest: (connection, arrival) => {
      inFlight += 1;
      void serve(arrival, options, earlyRefusal(arrival, draining)).finally(() => {
        inFlight -= 1;
        connection.served();
      });
    },
    refuse: (inbound, code, detail) => recordedRefusal(options, inbound, code, detail),
    onClosed: (connection) => {
      connections.delete(connection);
      if (connections.size > 0) return;
      const done = waiting;
      waiting = [];
      for (const resolve of done) resolve();
    },
  };
  const sweep = (): void => {
    isSweeping = connections.size > 0;
    if (!isSweeping) return;
    const now = clock.now();
    for (const connection of connections) connection.sweep(now);
    deadlines.arm(tickMs, sweep);
  };
  const cut = (): void => {
    for (const connection of connections) connection.abort();
  };
  const empty = async (): Promise<void> => {
    if (connections.size > 0) await new Promise<void>((resolve) => waiting.push(resolve));
  };

  return {
    serve: (inbound) => {
      if (inbound.socket.destroyed) return;
      const connection = new ServerConnection(inbound, host);
      connections.add(connection);
      if (!isSweeping) {
        isSweeping = true;
        deadlines.arm(tickMs, sweep);
      }
      // It came while the door was closing.
      if (draining) connection.end();
    },
    get connections() {
      return connections.size;
    },
    get inFlight() {
      return inFlight;
    },
    drain: async (signal) => {
      draining = true;
      for (const connection of connections) if (connection.isIdle) connection.end();
      if (signal.aborted) cut();
      else signal.addEventListener("abort", cut, { once: true });
      await empty();
      signal.removeEventListener("abort", cut);
    },
    close: async () => {
      draining = true;
      cut();
      await empty();
    },
  };
}

/** What needs no reading of the rest. */
function earlyRefusal({ raw }: Arrival, isDraining: boolean): Denial | undefined {
  if (raw.method === "CONNECT") return deny("request.method", "CONNECT is never forwarded");
  return isDraining
    ? deny("sidecar.draining", "The request came after the drain had begun")
    : undefined;
}

function recordedRefusal(
  { metrics, record }: ServeOptions,
  { client }: Inbound,
  code: DenialCode,
  detail: string,
): Uint8Array {
  const requestId = randomUUID();
  countRequest(metrics, "deny", code);
  record({
    requestId,
    clientAddress: (client.proxied ?? client).address,
    outcome: "deny",
    status: statusOf(code),
    durationMs: 0,
    code,
    detail,
    check: "framing",
  });
  return refuseBytes({ code, requestId });
}

/** The same line for all answers of one second (RFC 9110 §6.6.1). */
function dateLine(now: () => number): () => string {
  let second = -1;
  let line = "";
  return () => {
    const present = Math.floor(now() / 1_000);
    if (present !== second) {
      second = present;
      line = `Date: ${new Date(present * 1_000).toUTCString()}\r\n`;
    }
    return line;
  };
}
