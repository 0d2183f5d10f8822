/** `transport.ipAccess` made ready: thousands of networks cost as much as one, and deny wins. */
import { BlockList } from "node:net";
import type { IpAccess } from "../../policy/bundle.ts";

export type IpVerdict = "allowed" | "denied" | "not-listed";

/** Takes addresses in canonical form (`canonicalAddress()`): IPv4 is never mapped into IPv6. */
export type IpFilter = (address: string) => IpVerdict;

export function createIpFilter({ allow, deny }: IpAccess): IpFilter {
  const denied = networkSet(deny);
  // Of an empty list: nobody is on it.
  const allowed = allow.kind === "listed" ? networkSet(allow.networks) : undefined;
  return (address) => {
    if (denied(address)) return "denied";
    if (allowed !== undefined && !allowed(address)) return "not-listed";
    return "allowed";
  };
}

/** A list for each family: Node's finds an IPv4 address in `::/0`, as if it were mapped, and our users do not. */
function networkSet(networks: readonly string[]): (address: string) => boolean {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const network of networks) {
    const [address = "", prefix] = network.split("/");
    const family = familyOf(address);
    lists[family].addSubnet(address, Number(prefix), family);
  }
  return (address) => {
    const family = familyOf(address);
    return lists[family].check(address, family);
  };
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return address.includes(":") ? "ipv6" : "ipv4";
}
