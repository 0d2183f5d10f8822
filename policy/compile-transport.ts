/** `spec.transport` → what a sidecar checks, every network in its one spelling. */
import type { TransportSpec } from "./api/transport.ts";
import type { ClientAddressRule, IpAccess, Mode, PolicyRef, Transport } from "./bundle.ts";
import { networkText, parseNetwork } from "./ip.ts";
import { problem } from "./problems.ts";
import type { Problem } from "./problems.ts";

/** A network that cannot be read spoils the section: leaving it out would admit or refuse others than were meant. */
export function compileTransport(
  policy: PolicyRef,
  spec: TransportSpec,
  defaultMode: Mode,
): { readonly transport: Transport; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const networks = (list: readonly string[], field: "allow" | "deny"): readonly string[] => {
    const canonical = list.flatMap((text, index) => {
      const reading = parseNetwork(text);
      if (reading.kind === "network") return [networkText(reading.network)];
      const path = `spec.transport.ipAccess.${field}[${index}]`;
      problems.push(problem(policy, "NetworkInvalid", path, `${reading.message}, found "${text}"`));
      return [];
    });
    return [...new Set(canonical)];
  };
  const { allow, deny = [] } = spec.ipAccess ?? {};
  const ipAccess: IpAccess = {
    // Written out in either case: absent must never come to mean "all" by an accident on the way.
    allow:
      allow === undefined
        ? { kind: "any" }
        : { kind: "listed", networks: networks(allow, "allow") },
    deny: networks(deny, "deny"),
  };
  return {
    transport: {
      mode: spec.mode ?? defaultMode,
      tls: spec.tls,
      clientAddress: compileClientAddress(spec.clientAddress),
      ipAccess,
    },
    problems,
  };
}

function compileClientAddress({
  from,
  trustedHops,
}: TransportSpec["clientAddress"]): ClientAddressRule {
  // The schema has seen to it that the number is there; one hop is the narrowest trust.
  return from === "XForwardedFor" ? { from, trustedHops: trustedHops ?? 1 } : { from };
}
