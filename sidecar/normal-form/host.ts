/**
 * Reads the Host header: exactly one, `name[:port]`, lower-cased for decisions. A trailing dot names the same
 * host to DNS and another one to string comparison (CVE-2022-23632), so it is refused.
 */
import { isIPv6 } from "node:net";
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";

/** RFC 1035 §2.3.4, and room for a port. */
const MAX_LENGTH = 255 + 6;
/** Labels as they occur, underscores included (Compose and Kubernetes names); no percent-encoding. */
const NAME = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;
const PORT = /^[0-9]{1,5}$/;

export function readHost(values: readonly string[]): { readonly host: string } | Denial {
  const value = values[0];
  if (value === undefined) return refuse("is missing");
  if (values.length > 1) return refuse("is repeated");
  if (value.length > MAX_LENGTH) return refuse("is too long");
  const host = value.toLowerCase();
  const split = splitPort(host);
  if (split === undefined) return refuse("is not `name[:port]`");
  const { name, port } = split;
  if (port !== undefined && (!PORT.test(port) || Number(port) > 65_535)) {
    return refuse("has a port that is not a number up to 65535");
  }
  if (name.endsWith(".")) return refuse("ends with a dot");
  if (name.startsWith("[")) {
    if (!isIPv6(name.slice(1, -1)) || name.includes("%")) return refuse("is not an IPv6 address");
  } else if (!NAME.test(name)) {
    return refuse("is not a host name");
  }
  return { host };
}

function splitPort(
  host: string,
): { readonly name: string; readonly port: string | undefined } | undefined {
  if (host.startsWith("[")) {
    const end = host.indexOf("]");
    if (end === -1) return undefined;
    const rest = host.slice(end + 1);
    if (rest === "") return { name: host.slice(0, end + 1), port: undefined };
    return rest.startsWith(":") ? { name: host.slice(0, end + 1), port: rest.slice(1) } : undefined;
  }
  const colon = host.indexOf(":");
  if (colon === -1) return { name: host, port: undefined };
  return { name: host.slice(0, colon), port: host.slice(colon + 1) };
}

function refuse(what: string): Denial {
  return deny("request.host", `The Host header ${what}`);
}
