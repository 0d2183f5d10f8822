/** What the connections of one HTTP/1.1 server share: its limits, its clock, and where requests go. */
import type { DenialCode } from "../../policy/denials.ts";
import type { Inbound } from "../connection/inbound.ts";
import type { Arrival } from "../serve.ts";
import type { ServerConnection } from "./server-connection.ts";

export interface ConnectionHost {
  readonly isDraining: boolean;
  /** Lines for every answer. */
  readonly date: string;
  readonly keepAliveLines: string;
  readonly limits: ConnectionLimits;
  /** Unix milliseconds. */
  now(): number;
  /** Calls `served` in the end. */
  onRequest(connection: ServerConnection, arrival: Arrival): void;
  /** For a connection on which no request can be made out: the whole answer, which is recorded. */
  refuse(inbound: Inbound, code: DenialCode, detail: string): Uint8Array;
  onClosed(connection: ServerConnection): void;
}

export interface ConnectionLimits {
  /** For a request's whole head, from its first byte or the connection's start. */
  readonly headersMs: number;
  /** For the next request on a connection. */
  readonly keepAliveMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
}
