/**
 * Structured log: one JSON object per line on standard output. Values are data, never format strings, so a
 * caller cannot forge a line. Redaction is not optional: see redact.ts.
 */
import { redact } from "./redact.ts";
import type { Clock } from "./clock.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

const WEIGHT: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log, with fields that stand on every line. */
  child(fields: LogFields): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly clock: Pick<Clock, "now">;
  /** Takes one line with its newline. */
  readonly write: (line: string) => void;
}

export function createLog(options: LogOptions, fields: LogFields = {}): Log {
  const put = (level: LogLevel, message: string, more?: LogFields): void => {
    if (WEIGHT[level] < WEIGHT[options.level]) return;
    const record = {
      time: new Date(options.clock.now()).toISOString(),
      level,
      msg: message,
      ...fields,
      ...more,
    };
    options.write(`${JSON.stringify(redact(record))}\n`);
  };
  return {
    debug: (message, more) => put("debug", message, more),
    info: (message, more) => put("info", message, more),
    warn: (message, more) => put("warn", message, more),
    error: (message, more) => put("error", message, more),
    child: (more) => createLog(options, { ...fields, ...more }),
  };
}

/** Says nothing; for tests and for places where somebody else reports. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
