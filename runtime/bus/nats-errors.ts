/**
 * What NATS can answer, as our two codes: `bus.unavailable` may pass, `bus.rejected` needs a human. Decided by
 * classes and numeric codes, never by the words of a message: those change between versions.
 */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-node";
import { PosternError } from "../error.ts";

const PASSING = [
  errors.ClosedConnectionError,
  errors.ConnectionError,
  errors.DrainingConnectionError,
  errors.NoRespondersError,
  errors.RequestError,
  errors.TimeoutError,
] as const;

/** `action` as in "Cannot <action>: …". */
export function busError(action: string, cause: unknown): PosternError {
  if (cause instanceof PosternError) return cause;
  const code = willPass(cause) ? "bus.unavailable" : "bus.rejected";
  const why = code === "bus.unavailable" ? "the bus does not answer" : "the bus refuses";
  return new PosternError(code, `Cannot ${action}: ${why}`, { cause });
}

/** The bucket does not exist: never made, or lost with the server's disk. */
export function isMissingBucket(cause: unknown): boolean {
  if (cause instanceof JetStreamApiError) return cause.code === JetStreamApiCodes.StreamNotFound;
  // Nobody listens on the subjects of a stream that does not exist.
  if (cause instanceof errors.NoRespondersError) return true;
  if (cause instanceof errors.RequestError) return cause.isNoResponders();
  return cause instanceof Error && cause.cause !== undefined && isMissingBucket(cause.cause);
}

function willPass(cause: unknown): boolean {
  if (cause instanceof JetStreamApiError) {
    // 503 is JetStream without a leader, or still starting; a missing bucket is made by the controller.
    return cause.status === 503 || cause.code === JetStreamApiCodes.StreamNotFound;
  }
  if (!(cause instanceof Error)) return false;
  if (cause.cause instanceof errors.PermissionViolationError) return false;
  // The client wraps: "JetStream is not enabled" around "no responders" is what a missing bucket looks like.
  return PASSING.some((type) => cause instanceof type) || willPass(cause.cause);
}
