/**
 * The listening socket: bounds the number of connections, finds out what each one speaks and whose it is, and
 * hands it to the server of its protocol. Until then a connection has no more than its first bytes, a deadline
 * and, over TLS, a handshake among a bounded number of them.
 */
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import type { Deadlines } from "../deadlines.ts";
import type { Metrics } from "../metrics.ts";
import { canonicalAddress } from "./client-address.ts";
import { readFirstBytes } from "./first-bytes.ts";
import type { Opened } from "./first-bytes.ts";
import type { ClientOrigin, Inbound, ProtocolServer, ProxyHeaderUse } from "./inbound.ts";
import type { OpeningRules } from "./opening.ts";
import type { ProxySource } from "./proxy-header.ts";
import type { WatchedTlsFiles } from "./tls-files.ts";
import { createTlsTerminator } from "./tls-terminator.ts";
import type { Handshake, TlsLimits, TlsTerminator } from "./tls-terminator.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface AcceptorLimits extends TlsLimits {
  /** More are closed at once. */
  readonly maxConnections: number;
  /** For the first bytes, up to where they tell what is spoken. Whoever is slower is taken for HTTP/1.1. */
  readonly firstBytesMs: number;
}

export interface AcceptorOptions {
  /** HTTP/2 is offered when there is a server for it. */
  readonly servers: { readonly "http/1.1": ProtocolServer; readonly h2?: ProtocolServer };
  /** Of the policy in force; read once per connection. */
  readonly proxyHeader: () => ProxyHeaderUse;
  /** Absent: there is no TLS. Stays its owner's to close. */
  readonly tls?: Pick<WatchedTlsFiles, "current" | "onChange">;
  readonly limits: AcceptorLimits;
  readonly deadlines: Deadlines;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "count">;
}

export interface Acceptor {
  /** Throws PosternError `listen.failed`. */
  listen(address: ListenAddress): Promise<ListenAddress>;
  readonly address: ListenAddress | undefined;
  /** All that are open, whether they have said something or not. */
  readonly connections: number;
  /** No new connections; the protocols' servers drain theirs; at the signal, cuts what is left. */
  drain(signal: AbortSignal): Promise<void>;
  /** At once; idempotent. */
  close(): Promise<void>;
}

type RefusalReason =
  "proxy-header" | "first-bytes" | Extract<Handshake, { readonly kind: "failed" }>["reason"];

export function createAcceptor(options: AcceptorOptions): Acceptor {
  const { servers, limits, deadlines, log, metrics } = options;
  const sockets = new Set<Socket>();
  /** Those that no protocol has taken over yet. */
  const opening = new Set<Socket>();
  const tls = terminatorOf(options);
  let address: ListenAddress | undefined;

  // A caller that has sent its request may close its half; the answer still goes out.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  server.maxConnections = limits.maxConnections;
  server.on("drop", () => {
    metrics.count("postern_connections_dropped_total");
  });

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
      const closed = closeServer(server);
      tls?.[Symbol.dispose]();
      // They have asked nothing yet; nobody loses a request with them.
      for (const socket of opening) socket.destroy();
      await Promise.all(protocolServers().map((each) => each.drain(signal)));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    close: async () => {
      const closed = closeServer(server);
      tls?.[Symbol.dispose]();
      await Promise.all(protocolServers().map((each) => each.close()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };

  function accept(socket: Socket): void {
    sockets.add(socket);
    opening.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      opening.delete(socket);
    });
    // A reset is an end like another, at whatever time it comes.
    socket.on("error", () => socket.destroy());
    const peer = { address: canonicalAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
    // Once: a swap of policy must not find the first half of a header read by one rule and the second by another.
    const rules: OpeningRules = {
      proxyHeader: options.proxyHeader(),
      tls: tls !== undefined,
      h2: servers.h2 !== undefined,
    };
    const stop = readFirstBytes(socket, rules, (opened) => {
      disarm();
      open(socket, peer, opened);
    });
    const disarm = deadlines.arm(limits.firstBytesMs, () => {
      stop();
      // HTTP/1.1 has a deadline as well, and words for those who miss it.
      if (rules.proxyHeader !== "required") {
        serve(socket, { socket, client: peer, protocol: "http/1.1" });
        return;
      }
      refuse(socket, peer, "first-bytes", `No PROXY header came within ${limits.firstBytesMs} ms`);
    });
  }

  function open(socket: Socket, peer: ClientOrigin, opened: Opened): void {
    if (opened.kind === "gone") {
      socket.destroy();
      return;
    }
    if (opened.kind === "refused") {
      refuse(socket, peer, "proxy-header", opened.detail);
      return;
    }
    const client = originOf(peer, opened.source);
    if (opened.speaks !== "tls" || tls === undefined) {
      serve(socket, { socket, client, protocol: opened.speaks === "h2" ? "h2" : "http/1.1" });
      return;
    }
    tls.accept(socket, (handshake) => {
      if (handshake.kind === "failed") {
        refuse(socket, peer, handshake.reason, handshake.detail);
        return;
      }
      // Its errors are the raw socket's, or a record that does not decrypt; either ends it.
      handshake.socket.on("error", () => handshake.socket.destroy());
      serve(socket, {
        socket: handshake.socket,
        client: { ...client, tls: handshake.tls },
        protocol: handshake.protocol,
      });
    });
  }

  function serve(raw: Socket, inbound: Inbound): void {
    opening.delete(raw);
    (servers[inbound.protocol] ?? servers["http/1.1"]).serve(inbound);
  }

  function refuse(socket: Socket, peer: ClientOrigin, reason: RefusalReason, detail: string): void {
    socket.destroy();
    metrics.count("postern_connections_refused_total", reason);
    log.debug("Connection refused", { clientAddress: peer.address, reason, detail });
  }

  function protocolServers(): ProtocolServer[] {
    return servers.h2 === undefined ? [servers["http/1.1"]] : [servers["http/1.1"], servers.h2];
  }
}

function terminatorOf(options: AcceptorOptions): TlsTerminator | undefined {
  if (options.tls === undefined) return undefined;
  return createTlsTerminator({
    ...options,
    files: options.tls,
    protocols: options.servers.h2 === undefined ? ["http/1.1"] : ["h2", "http/1.1"],
  });
}

function originOf(peer: ClientOrigin, source: ProxySource | undefined): ClientOrigin {
  switch (source?.kind) {
    case "proxied":
      return { ...peer, proxied: { address: source.address, port: source.port } };
    case "own":
      return { ...peer, proxied: { address: peer.address, port: peer.port } };
    // The proxy does not say, so it cannot be told; its own address is not the client's.
    case "unknown":
    case undefined:
      return peer;
  }
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

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // The only error is "not running", and then there is nothing to wait for.
    server.close(() => {
      resolve();
    });
  });
}
