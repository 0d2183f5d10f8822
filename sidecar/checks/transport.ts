/** How the request came in, and from where: TLS or not, and whether its client's address is welcome. */
import { deny } from "../../policy/denials.ts";
import type { DenialCode } from "../../policy/denials.ts";
import { clientAddress } from "../connection/client-address.ts";
import type { Check, CheckInput, Verdict } from "./check.ts";
import { PASS } from "./check.ts";

export const transport: Check = { name: "transport", evaluate };

function evaluate({ request, client, layer, findings }: CheckInput): Verdict {
  const { transport } = layer;
  if (transport === undefined) return PASS;
  const observed = transport.mode === "Observe";
  const refuse = (code: DenialCode, detail: string): Verdict => ({
    kind: "refusal",
    denial: deny(code, detail),
    observed,
  });
  const from = clientAddress(transport.clientAddress, client, request.headers);
  if (from.kind === "known") findings.clientAddress = from.address;
  if (transport.tls === "Strict" && client.tls === undefined) {
    return refuse("transport.tls-required", "The request came without TLS");
  }
  if (transport.tls === "Plaintext" && client.tls !== undefined) {
    return refuse("transport.tls-refused", `The request came over ${client.tls.version}`);
  }
  if (from.kind === "unknown") {
    return {
      kind: "undecided",
      denial: deny("transport.client-address", from.detail),
      observed,
    };
  }
  switch (transport.ipAccess?.(from.address) ?? "allowed") {
    case "allowed":
      return PASS;
    case "denied":
      return refuse("transport.ip-denied", `ipAccess.deny has ${from.address}`);
    case "not-listed":
      return refuse("transport.ip-denied", `ipAccess.allow does not have ${from.address}`);
  }
}
