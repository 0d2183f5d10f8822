/**
 * Where a request comes from, by the rule of one layer. An address that cannot be told is a value of its own,
 * never the next best one: whoever wants to hide would make it untellable.
 */
import type { ClientAddressRule } from "../../policy/bundle.ts";
import { ipText, parseIp, unmapped } from "../../policy/ip.ts";
import type { HeaderList } from "../exchange.ts";
import type { ClientOrigin } from "./inbound.ts";

export type ClientAddress =
  | { readonly kind: "known"; readonly address: string }
  | { readonly kind: "unknown"; readonly detail: string };

export function clientAddress(
  rule: ClientAddressRule,
  client: ClientOrigin,
  headers: HeaderList,
): ClientAddress {
  switch (rule.from) {
    case "Connection":
      return client.address === ""
        ? unknown("The connection is gone")
        : { kind: "known", address: client.address };
    case "ProxyProtocol":
      return client.proxied === undefined
        ? unknown("The connection began without a PROXY header")
        : { kind: "known", address: client.proxied.address };
    case "XForwardedFor":
      return forwardedFor(headers.all("x-forwarded-for"), rule.trustedHops);
  }
}

/** Of a socket: one spelling, without zone (`fe80::1%eth0`). Empty when there is none. */
export function canonicalAddress(text: string | undefined): string {
  const address = parseIp(text?.replace(/%.*$/, "") ?? "");
  return address === undefined ? "" : ipText(unmapped(address));
}

/**
 * Several lines are one list (RFC 9110 §5.3); each trusted proxy has appended one entry. All of those must be
 * addresses: one that is not was not written by a proxy that we know, so neither is it clear who wrote the others.
 */
function forwardedFor(lines: readonly string[], trustedHops: number): ClientAddress {
  const entries = lines.length === 0 ? [] : lines.join(",").split(",");
  if (entries.length < trustedHops) {
    return unknown(`X-Forwarded-For has ${entries.length} entries, trustedHops is ${trustedHops}`);
  }
  let address = "";
  for (const entry of entries.slice(-trustedHops).reverse()) {
    address = canonicalAddress(withoutPort(entry.trim()));
    if (address === "") return unknown("An entry of X-Forwarded-For is not an IP address");
  }
  return { kind: "known", address };
}

/** `192.0.2.1:4711`, `[2001:db8::1]:4711` and `[2001:db8::1]`, as some proxies write. */
function withoutPort(entry: string): string {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?$/.exec(entry);
  return match?.[1] ?? match?.[2] ?? entry;
}

function unknown(detail: string): ClientAddress {
  return { kind: "unknown", detail };
}
