/** How talking to the application can fail, as a denial. The one place that knows the system's error codes. */
import type { DenialCode } from "../../policy/denials.ts";
import { describe } from "../../runtime/error.ts";

export type UpstreamCode = Extract<DenialCode, `upstream.${string}`>;

export interface UpstreamFailure {
  readonly code: UpstreamCode;
  readonly detail: string;
  /** The connection had been idle and was dead before the application can have seen the request. */
  readonly diedIdle: boolean;
}

export function failure(code: UpstreamCode, detail: string): UpstreamFailure {
  return { code, detail, diedIdle: false };
}

/** The other side has closed the connection: on one that had been idle, without having seen the request. */
export function isClosedConnection(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ECONNRESET" || code === "EPIPE";
}

export function upstreamFailure(error: Error): UpstreamFailure {
  return failure(codeOf((error as NodeJS.ErrnoException).code ?? ""), describe(error));
}

function codeOf(code: string): UpstreamCode {
  switch (code) {
    case "ECONNREFUSED":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    // A Unix socket that is not there, is none, or is somebody else's.
    case "ENOENT":
    case "ENOTSOCK":
    case "ENOTDIR":
    case "EACCES":
    case "EPERM":
      return "upstream.refused";
    // A Unix socket whose queue is full, or a process or machine without room for one more connection.
    case "EAGAIN":
    case "EMFILE":
    case "ENFILE":
    case "ENOBUFS":
      return "upstream.busy";
    case "ETIMEDOUT":
      return "upstream.timeout";
    default:
      return "upstream.reset";
  }
}
