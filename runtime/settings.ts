/**
 * Settings of a process: declared as a table, read once from a map of names to texts, all mistakes reported
 * together. An unknown POSTERN_ name is a mistake too: a misspelt setting must not silently weaken anything.
 */
import { PosternError } from "./error.ts";

export const required: unique symbol = Symbol("required");
export const optional: unique symbol = Symbol("optional");

/** Throws SettingProblem with what is wrong with the text. */
export type Parse<T> = (text: string) => T;

export class SettingProblem extends Error {}

export interface Setting<T> {
  readonly name: string;
  readonly parse: Parse<T>;
  /** A text as a user would write it, `required`, or `optional` (then the value is undefined). */
  readonly fallback: string | typeof required | typeof optional;
  /** For the reference page: what it is, and why the default is what it is. */
  readonly sentence: string;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type ConfigOf<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};
export type Environment = Readonly<Record<string, string | undefined>>;

export function setting<T>(
  name: string,
  parse: Parse<T>,
  fallback: string | typeof required,
  sentence: string,
): Setting<T>;
export function setting<T>(
  name: string,
  parse: Parse<T>,
  fallback: typeof optional,
  sentence: string,
): Setting<T | undefined>;
export function setting<T>(
  name: string,
  parse: Parse<T>,
  fallback: string | typeof required | typeof optional,
  sentence: string,
): Setting<T | undefined> {
  return { name, parse, fallback, sentence };
}

/** Throws PosternError `settings.invalid` whose message has one line for each mistake. */
export function readSettings<S extends Settings>(table: S, environment: Environment): ConfigOf<S> {
  const problems: string[] = unknownNames(table, environment);
  const values: Record<string, unknown> = {};
  for (const [key, row] of Object.entries(table)) {
    const text = environment[row.name];
    // Kubernetes and shells write "unset" as the empty text.
    const given = text === undefined || text === "" ? row.fallback : text;
    if (given === optional) {
      values[key] = undefined;
    } else if (given === required) {
      problems.push(`${row.name}: is required. ${row.sentence}`);
    } else if (typeof given === "string") {
      try {
        values[key] = row.parse(given);
      } catch (cause) {
        if (!(cause instanceof SettingProblem)) throw cause;
        problems.push(`${row.name}: ${cause.message}, current value is ${JSON.stringify(given)}`);
      }
    }
  }
  if (problems.length > 0) throw settingsInvalid(problems);
  return Object.freeze(values) as ConfigOf<S>;
}

export function settingsInvalid(problems: readonly string[]): PosternError {
  return new PosternError("settings.invalid", `Cannot read settings:\n  ${problems.join("\n  ")}`);
}

/**
 * What Kubernetes puts into every container of a namespace with a Service called `postern` or `postern-…`:
 * `POSTERN_NATS_SERVICE_HOST`, `POSTERN_NATS_PORT_4222_TCP_ADDR` and so on. Nobody wrote these.
 */
const SERVICE_LINK =
  /_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)$|_PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?$/;

function unknownNames(table: Settings, environment: Environment): string[] {
  const known = Object.values(table).map((row) => row.name);
  return Object.keys(environment)
    .filter((name) => name.startsWith("POSTERN_") && !known.includes(name))
    .filter((name) => !SERVICE_LINK.test(name))
    .toSorted()
    .map((name) => {
      const near = nearest(name, known);
      return `${name}: is not a setting${near === undefined ? "" : `, did you mean ${near}?`}`;
    });
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((other) => ({ other, distance: editDistance(name, other) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(2, name.length / 4)
    ? best.other
    : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
