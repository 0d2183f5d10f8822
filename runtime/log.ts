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
  /**
   * One line of level "info" for what happens with each request. `object` makes the fields, as the text of a JSON
   * object that is not empty, when the level asks for them; it answers for what is in them: nothing is redacted here.
   */
  line(message: string, object: () => string): void;
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
  const timeText = timeWriter();
  const steady = JSON.stringify(redact(fields));
  const steadyMembers = steady === "{}" ? "" : `,${steady.slice(1, -1)}`;
  const put = (level: LogLevel, message: string, more?: LogFields): void => {
    if (WEIGHT[level] < WEIGHT[options.level]) return;
    const record = {
      time: timeText(options.clock.now()),
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
    line: (message, object) => {
      if (WEIGHT.info < WEIGHT[options.level]) return;
      const time = timeText(options.clock.now());
      const head = `{"time":"${time}","level":"info","msg":${JSON.stringify(message)}`;
      options.write(`${head}${steadyMembers},${object().slice(1)}\n`);
    },
    child: (more) => createLog(options, { ...fields, ...more }),
  };
}

/** Says nothing; for tests and for places where somebody else reports. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  line: () => undefined,
  child: () => silentLog,
};

/** ISO 8601 in UTC; all but the milliseconds is made once per second. */
function timeWriter(): (ms: number) => string {
  let second: number | undefined;
  let text = "";
  return (ms) => {
    const now = Math.floor(ms / 1000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1000).toISOString().slice(0, -4);
    }
    return `${text}${String(Math.floor(ms) - now * 1000).padStart(3, "0")}Z`;
  };
}
