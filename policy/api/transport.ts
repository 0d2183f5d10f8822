/** `spec.transport`: how a request may come in, from where, and how its client's address is found. */
import {
  defaulted,
  described,
  integer,
  listSet,
  object,
  oneOf,
  optional,
  ruled,
  string,
} from "../schema/schema.ts";
import type { Infer } from "../schema/schema.ts";
import { parseNetwork } from "../ip.ts";
import { sectionMode } from "./common.ts";

const MAX_NETWORKS = 128;

/** `cidr()` is the API server's own library; an IPv4-mapped network is none to it, nor to us. */
const network = ruled(string({ minLength: 1, maxLength: 49 }), [
  {
    cel: "isCIDR(self)",
    message:
      "a network must be in CIDR form, like 10.0.0.0/8, 192.0.2.7/32 or 2001:db8::/32, and IPv4 not mapped into IPv6",
    holds: (text) => !isProblem(text) || hasHostBits(text),
  },
  {
    cel: "!isCIDR(self) || cidr(self).masked() == cidr(self)",
    message: "a network must not have bits set behind its prefix (10.0.0.0/8, not 10.0.0.1/8)",
    holds: (text) => !hasHostBits(text),
  },
]);

const networks = listSet(network, { minItems: 1, maxItems: MAX_NETWORKS });

const clientAddress = ruled(
  object({
    from: described(
      "Connection: the address that the TCP connection comes from. XForwardedFor: what trusted proxies have written into X-Forwarded-For. ProxyProtocol: what the PROXY header (v1 or v2) of the connection says; then every connection must begin with one.",
      oneOf(["Connection", "XForwardedFor", "ProxyProtocol"]),
    ),
    trustedHops: optional(
      described(
        "For XForwardedFor: how many proxies stand in front, each of which appends the address that it sees. The client is the entry that the outermost of them has written, the N-th from the right. What stands left of it was sent by the client and counts for nothing.",
        integer({ minimum: 1, maximum: 10 }),
      ),
    ),
  }),
  [
    {
      cel: "(self.from == 'XForwardedFor') == has(self.trustedHops)",
      message: "trustedHops is required for XForwardedFor, and must be absent otherwise",
      holds: ({ from, trustedHops }) => (from === "XForwardedFor") === (trustedHops !== undefined),
    },
  ],
);

const ipAccess = ruled(
  object({
    allow: optional(
      described(
        "Networks from which requests may come. Absent: any that `deny` does not name.",
        networks,
      ),
    ),
    deny: optional(described("Networks from which none may come. Wins over `allow`.", networks)),
  }),
  [
    {
      cel: "has(self.allow) || has(self.deny)",
      message: "ipAccess must have allow or deny",
      holds: ({ allow, deny }) => allow !== undefined || deny !== undefined,
    },
  ],
);

export const transport = object({
  mode: optional(sectionMode),
  tls: defaulted(
    described(
      "Strict: only over TLS. Permissive: with TLS or without. Plaintext: only without TLS, for workloads whose encryption is somebody else's (a mesh).",
      oneOf(["Strict", "Permissive", "Plaintext"]),
    ),
    "Permissive",
  ),
  clientAddress: defaulted(
    described("How the client's address is found, for `ipAccess` and for records.", clientAddress),
    { from: "Connection" },
  ),
  ipAccess: optional(
    described(
      "From which addresses requests may come. A request whose client address cannot be told is refused.",
      ipAccess,
    ),
  ),
});
export type TransportSpec = Infer<typeof transport>;

/** Whether it can refuse anything; a policy of nothing else would open what it selects. */
export function asksSomething({ tls, ipAccess }: Pick<TransportSpec, "tls" | "ipAccess">): boolean {
  return tls !== "Permissive" || ipAccess !== undefined;
}

function isProblem(text: string): boolean {
  return parseNetwork(text).kind === "problem";
}

function hasHostBits(text: string): boolean {
  const reading = parseNetwork(text);
  return reading.kind === "problem" && reading.hostBits === true;
}
