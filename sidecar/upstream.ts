/**
 * The application's address and the connections to it. A connection goes back to the pool only after a clean
 * exchange, and is dropped when it says anything while nobody has asked: such bytes would be taken for the
 * answer to the next request.
 */
import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { http } from "../runtime/http.ts";
import type { Denial } from "../policy/denials.ts";
import { deny } from "../policy/denials.ts";
import { describe } from "../runtime/error.ts";

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
}

export interface Upstream extends UpstreamAddress {
  readonly agent: Agent;
  /** A connection of its own, not from the pool. */
  readonly connect: () => Socket;
  close(): void;
}

/** Idle connections; more in-flight requests open more, for their own time. */
const MAX_IDLE = 256;
/** Below the 5 s after which common servers close an idle connection, so that we seldom meet a dying one. */
const IDLE_MS = 4_000;

export function createUpstream({ host, port }: UpstreamAddress): Upstream {
  const agent = new WatchfulAgent({
    keepAlive: true,
    maxFreeSockets: MAX_IDLE,
    scheduling: "lifo",
    timeout: IDLE_MS,
  });
  return {
    host,
    port,
    agent,
    connect: () => connect({ host, port, noDelay: true }),
    close: () => {
      agent.destroy();
    },
  };
}

class WatchfulAgent extends http.Agent {
  override keepSocketAlive(socket: Duplex): void {
    socket.on("data", speaksUnasked);
    // Node's types say void; the value tells the pool whether to keep the socket.
    return super.keepSocketAlive(socket);
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    socket.removeListener("data", speaksUnasked);
    super.reuseSocket(socket, request);
  }
}

function speaksUnasked(this: Duplex): void {
  this.destroy();
}

/**
 * Bytes behind the end of an answer belong to nobody. While the answer still waits for a slow caller, neither
 * Node's parser nor the pool listens, and they would be lost with the connection taken for a clean one.
 */
export function watchBehind(answer: IncomingMessage): void {
  const { socket } = answer;
  const onData = (): void => {
    if (answer.complete) socket.destroy();
  };
  // Before the parser: what it is given now may be the end of the answer.
  socket.prependListener("data", onData);
  answer.once("close", () => socket.removeListener("data", onData));
}

/** The other side has closed the connection: on one that had been idle, without having seen the request. */
export function isClosedConnection(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ECONNRESET" || code === "EPIPE";
}

type UpstreamDenial = Denial & { readonly code: `upstream.${string}` & Denial["code"] };

/** The one place that knows Node's error codes. */
export function upstreamDenial(error: Error): UpstreamDenial {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const detail = describe(error);
  switch (code) {
    case "ECONNREFUSED":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "ENOENT":
      return upstream("upstream.refused", detail);
    case "ETIMEDOUT":
      return upstream("upstream.timeout", detail);
    default:
      return upstream(code.startsWith("HPE_") ? "upstream.malformed" : "upstream.reset", detail);
  }
}

function upstream(code: UpstreamDenial["code"], detail: string): UpstreamDenial {
  return { ...deny(code, detail), code };
}
