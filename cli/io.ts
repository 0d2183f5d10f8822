/** What a command may touch of the world outside: passed in, so that a command never ends the process itself. */

export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** All of standard input. */
  readonly readStdin: () => string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts with the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Until the signal. */
  readonly onHangup: (listener: () => void) => void;
}

/** Exit codes, as `docs/reference/cli.md` says. */
export const DONE = 0;
/** The work found a problem: a policy is invalid, a part is missing, something cannot be reached. */
export const PROBLEM = 1;
export const WRONG_USAGE = 2;

/** The command line asks for something that is not possible; the message says what is. */
export class UsageError extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "UsageError";
  }
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
