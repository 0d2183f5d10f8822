/**
 * The TLS side of a connection (RFC 9325): 1.2 and newer, forward secrecy and AEAD alone, no renegotiation. A
 * client certificate counts only when its chain was verified; one that does not verify ends the connection. New
 * files hold for new connections; those that are open go on.
 */
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer } from "node:tls";
import type { SecureContextOptions, Server, TLSSocket } from "node:tls";
import type { Clock } from "../../runtime/clock.ts";
import type { Deadlines } from "../deadlines.ts";
import { readClientCertificate } from "./client-certificate.ts";
import type { ClientOrigin, Inbound } from "./inbound.ts";
import type { TlsMaterial, WatchedTlsFiles } from "./tls-files.ts";

export interface TlsLimits {
  readonly handshakeMs: number;
  /** Those that are under way: signatures are the dearest thing that a stranger can ask for. */
  readonly maxHandshakes: number;
}

export interface TlsOptions {
  readonly files: Pick<WatchedTlsFiles, "current" | "onChange">;
  /** Best first. */
  readonly protocols: readonly Inbound["protocol"][];
  readonly limits: TlsLimits;
  readonly deadlines: Deadlines;
  readonly clock: Pick<Clock, "now">;
}

export type Handshake =
  | {
      readonly kind: "secure";
      readonly socket: TLSSocket;
      readonly protocol: Inbound["protocol"];
      readonly tls: NonNullable<ClientOrigin["tls"]>;
    }
  | {
      readonly kind: "failed";
      readonly reason: "tls-overload" | "tls-handshake" | "client-certificate";
      readonly detail: string;
    };

export interface TlsTerminator extends Disposable {
  /** Takes the socket over; calls `done` once. After a failure the socket is destroyed. */
  accept(socket: Socket, done: (handshake: Handshake) => void): void;
}

const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

export function createTlsTerminator(options: TlsOptions): TlsTerminator {
  const { files, limits, deadlines } = options;
  /** By the connection's four numbers: node:tls names a connection by nothing else of the socket that it was given. */
  const pending = new Map<string, (handshake: Handshake) => void>();
  const server: Server = createServer({
    ...contextOptions(files.current),
    ALPNProtocols: [...options.protocols],
    requestCert: files.current.clientCa !== undefined,
    // Whether there was no certificate or a wrong one is for us to tell apart, below.
    rejectUnauthorized: false,
  });
  server.on("secureConnection", (socket) => {
    const done = pending.get(keyOf(socket));
    if (done === undefined) {
      socket.destroy();
      return;
    }
    done(judge(socket, options.clock.now()));
  });
  server.on("tlsClientError", (error, socket) => {
    pending.get(keyOf(socket))?.(failed("tls-handshake", error.message));
    socket.destroy();
  });
  const stop = files.onChange(() => {
    // A context of its own keys: no session from before is resumed, so a CA that was taken out counts no more.
    server.setSecureContext(contextOptions(files.current));
  });

  return {
    accept: (socket, done) => {
      if (pending.size >= limits.maxHandshakes) {
        socket.destroy();
        done(failed("tls-overload", `${limits.maxHandshakes} handshakes are under way`));
        return;
      }
      const key = keyOf(socket);
      const finish = (handshake: Handshake): void => {
        if (!pending.delete(key)) return;
        disarm();
        socket.removeListener("close", gone);
        if (handshake.kind === "failed") socket.destroy();
        done(handshake);
      };
      const gone = (): void => {
        finish(failed("tls-handshake", "The connection ended within the handshake"));
      };
      const disarm = deadlines.arm(limits.handshakeMs, () => {
        finish(failed("tls-handshake", `The handshake took longer than ${limits.handshakeMs} ms`));
      });
      pending.set(key, finish);
      socket.once("close", gone);
      // A caller that closes its half within the handshake has gone; only behind it can there be half a connection.
      socket.allowHalfOpen = false;
      server.emit("connection", socket);
    },
    [Symbol.dispose]: stop,
  };
}

function contextOptions({ cert, key, clientCa }: TlsMaterial): SecureContextOptions {
  return {
    cert,
    key,
    ...(clientCa !== undefined && { ca: clientCa }),
    minVersion: "TLSv1.2",
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}

function judge(socket: TLSSocket, nowMs: number): Handshake {
  const version = socket.getProtocol();
  if (version === null) return failed("tls-handshake", "The connection ended with the handshake");
  const { servername } = socket as { readonly servername?: unknown };
  const tls = {
    version,
    ...(typeof servername === "string" && { serverName: servername.toLowerCase() }),
  };
  socket.allowHalfOpen = true;
  const protocol = socket.alpnProtocol === "h2" ? "h2" : "http/1.1";
  const x509 = socket.getPeerX509Certificate();
  if (x509 === undefined) return { kind: "secure", socket, protocol, tls };
  if (!socket.authorized) {
    return failed("client-certificate", `It does not verify: ${String(socket.authorizationError)}`);
  }
  const reading = readClientCertificate(x509);
  if (reading.kind === "refused") return failed("client-certificate", reading.detail);
  const { certificate } = reading;
  // A resumed session was verified when it began.
  if (certificate.notAfterMs <= nowMs) return failed("client-certificate", "It has expired");
  return { kind: "secure", socket, protocol, tls: { ...tls, certificate } };
}

function failed(
  reason: Extract<Handshake, { readonly kind: "failed" }>["reason"],
  detail: string,
): Handshake {
  return { kind: "failed", reason, detail };
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
