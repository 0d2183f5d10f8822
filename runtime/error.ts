/** What the world did to us (bus, API server, disk, upstream, key server): one class, one code per remedy. */

export type PosternErrorCode =
  | "aborted"
  | "bus.unavailable"
  | "bus.rejected"
  | "cluster.unavailable"
  | "cluster.forbidden"
  | "cluster.conflict"
  | "cluster.rejected"
  | "disk.unusable"
  | "fetch.failed"
  | "fetch.refused"
  | "listen.failed"
  | "part.missing"
  | "settings.invalid";

export class PosternError extends Error {
  readonly code: PosternErrorCode;

  constructor(code: PosternErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "PosternError";
    this.code = code;
  }
}

/** The chain of messages, outermost first, for one line of log. */
export function describe(reason: unknown): string {
  const parts: string[] = [];
  let current: unknown = reason;
  while (current instanceof Error && parts.length < 6) {
    const code = (current as NodeJS.ErrnoException).code;
    const text = current.message === "" ? current.name : current.message;
    parts.push(code !== undefined && !text.includes(code) ? `${text} (${code})` : text);
    current = current.cause;
  }
  if (parts.length === 0) parts.push(String(reason));
  return parts.join(": ");
}
