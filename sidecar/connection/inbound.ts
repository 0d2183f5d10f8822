/**
 * A caller's connection once it is known whose it is and what it speaks, and what takes it from there. The
 * acceptor (TLS, PROXY protocol, limits) makes it; a protocol (HTTP/1.1, HTTP/2) serves it. Neither knows the
 * other's insides.
 */
import type { Socket } from "node:net";

export interface Inbound {
  /** Plain, or decrypted (a TLSSocket). Bytes that were read to find out the protocol have been put back. */
  readonly socket: Socket;
  readonly client: ClientOrigin;
  readonly protocol: "http/1.1" | "h2";
}

/** What the connection itself proves of its origin; nothing that a request says of itself. */
export interface ClientOrigin {
  /** Of the TCP peer, in canonical form: IPv4 where it is mapped into IPv6, no zone. */
  readonly address: string;
  readonly port: number;
  /** What a PROXY header said where policy asks for one; of a proxy's own connection (LOCAL), its peer. */
  readonly proxied?: { readonly address: string; readonly port: number };
  /** Absent: the connection is not encrypted. */
  readonly tls?: {
    readonly version: string;
    /** SNI, lower case. */
    readonly serverName?: string;
    /** Verified against the client CAs; absent when no certificate was given. */
    readonly certificate?: ClientCertificate;
  };
}

/** Whether connections begin with a PROXY header. `optional`: those that do are read, the others served as they are. */
export type ProxyHeaderUse = "required" | "optional" | "none";

export interface ClientCertificate {
  /** Lower-case hex SHA-256 of the DER. */
  readonly fingerprint: string;
  readonly subject: string;
  /** `URI:spiffe://…`, `DNS:…`, each as one entry, parsed and never by substring. */
  readonly subjectAltNames: readonly string[];
  readonly notAfterMs: number;
}

/** Serves connections of one protocol. */
export interface ProtocolServer {
  /** Takes the connection over; it is the server's to end. */
  serve(inbound: Inbound): void;
  readonly connections: number;
  /** No new requests; those in flight end; at the signal, cuts what is left. Resolves when no connection is left. */
  drain(signal: AbortSignal): Promise<void>;
  /** At once; idempotent. */
  close(): Promise<void>;
}
