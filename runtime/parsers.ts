/** From the text of a setting to its value; each says in one clause what it wants. */
import { SettingProblem } from "./settings.ts";
import type { Parse } from "./settings.ts";

export interface Address {
  readonly host: string;
  /** 0 asks for a free one. */
  readonly port: number;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** An http or https URL without user information, query or fragment. */
export function url(text: string): URL {
  const parsed = URL.parse(text);
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol)) {
    throw new SettingProblem("must be an http or https URL");
  }
  if (parsed.username !== "" || parsed.password !== "" || /[?#]/.test(text)) {
    throw new SettingProblem("must not have user information, a query or a fragment");
  }
  return parsed;
}

/** A URL of one of these schemes; without user information, since that belongs into a file. */
export function urlList(...schemes: readonly string[]): Parse<readonly string[]> {
  return (text) =>
    words(text).map((word) => {
      const parsed = URL.parse(word);
      if (parsed === null || !schemes.includes(parsed.protocol.slice(0, -1))) {
        throw new SettingProblem(
          `must be URLs of ${schemes.map((scheme) => `${scheme}://`).join(" or ")}, joined by ","`,
        );
      }
      if (parsed.username !== "" || parsed.password !== "") {
        throw new SettingProblem("must not have user information: name a file with credentials");
      }
      return word;
    });
}

/** `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every interface. */
export function address(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new SettingProblem('must be "host:port" with a port up to 65535');
  }
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? "::" : host, port };
}

/** As Kubernetes writes it: `500ms`, `30s`, `5m`, `24h`, `1h30m`. */
export function durationMs(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) {
    throw new SettingProblem('must be a duration such as "30s" or "1h30m"');
  }
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    sum += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return atMost(Math.round(sum), 10 * 365 * 24 * 3_600_000);
}

/** As Kubernetes writes a quantity of bytes: `65536`, `64Ki`, `1Mi`. */
export function bytes(text: string): number {
  const match = /^(\d+)(Ki|Mi|Gi|k|M|G)?$/.exec(text);
  if (match === null) throw new SettingProblem('must be a size such as "64Ki" or "1Mi"');
  return atMost(Number(match[1]) * (UNIT_BYTES[match[2] ?? ""] ?? 0), 2 ** 40);
}

export function filePath(text: string): string {
  if (text.includes("\0")) throw new SettingProblem("must be a path");
  return text;
}

/** Joined by commas; never empty. */
export function words(text: string): readonly string[] {
  const list = text.split(",").map((word) => word.trim());
  if (list.includes("")) throw new SettingProblem('must be words joined by ","');
  return list;
}

export function oneOf<const T extends string>(...values: readonly T[]): Parse<T> {
  return (text) => {
    const value = values.find((other) => other === text);
    if (value === undefined) throw new SettingProblem(`must be one of ${values.join(", ")}`);
    return value;
  };
}

/** Written in words, as the policy's fields are. */
export function enabled(text: string): boolean {
  return oneOf("Enabled", "Disabled")(text) === "Enabled";
}

/** A name as Kubernetes gives to pods (RFC 1123 subdomain). */
export function objectName(text: string): string {
  if (text.length > 253 || !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text)) {
    throw new SettingProblem('must be a Kubernetes name of small letters, digits, "-" and "."');
  }
  return text;
}

/** A name as Kubernetes gives to namespaces (RFC 1123 label). */
export function labelName(text: string): string {
  if (text.length > 63 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text)) {
    throw new SettingProblem('must be a Kubernetes name of small letters, digits and "-"');
  }
  return text;
}

function atMost(value: number, max: number): number {
  if (!Number.isSafeInteger(value) || value > max) {
    throw new SettingProblem(`must be at most ${max}`);
  }
  return value;
}
