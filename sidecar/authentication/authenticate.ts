/**
 * Answers one layer's question "who is calling?". No credential is a different answer from a bad one: a bad
 * one is refused even where anonymous callers are welcome.
 */
import type { Denial } from "../../policy/denials.ts";
import { DENIALS, deny } from "../../policy/denials.ts";
import type { NormalRequest } from "../exchange.ts";
import type { PreparedAuthentication } from "../prepared.ts";
import { findCredentials } from "./credentials.ts";
import type { Subject } from "./subject.ts";
import { readToken } from "./token.ts";
import { verifyToken } from "./verify.ts";

export type Identity =
  | { readonly kind: "anonymous" }
  | { readonly kind: "subject"; readonly subject: Subject }
  | { readonly kind: "refused"; readonly denial: Denial };

export async function authenticate(
  request: NormalRequest,
  authentication: PreparedAuthentication,
  nowMs: number,
): Promise<Identity> {
  const credentials = findCredentials(request, authentication.locations);
  const credential = credentials[0];
  if (credential === undefined) {
    if (authentication.anonymous === "Allow") return { kind: "anonymous" };
    return refuse(deny("authn.missing", "No credential where the policy's providers look"));
  }
  if (credentials.length > 1) {
    return refuse(deny("authn.ambiguous", `The request has ${credentials.length} credentials`));
  }
  if (credential.kind === "malformed") return refuse(deny("authn.malformed", credential.detail));
  const token = readToken(credential.text);
  if ("code" in token) return refuse(token);
  const issuer = token.claims["iss"];
  const providers =
    typeof issuer === "string" ? authentication.providersByIssuer.get(issuer) : undefined;
  if (providers === undefined) {
    return refuse(deny("authn.issuer", "The `iss` is missing or belongs to none of the providers"));
  }
  let closest: Denial | undefined;
  for (const provider of providers) {
    const result = await verifyToken(token, provider, nowMs);
    if (!("code" in result)) return { kind: "subject", subject: result };
    closest = closer(closest, result);
  }
  return refuse(closest ?? deny("authn.issuer", "No provider has the token's issuer"));
}

/** How far a token got before it failed; of several providers, the best explanation is the furthest. */
const PROGRESS: readonly Denial["code"][] = [
  "authn.algorithm",
  "authn.key-unknown",
  "authn.signature",
  "authn.expired",
  "authn.not-yet-valid",
  "authn.audience",
  "authn.claims",
];

/** Could-not-tell wins over no: another provider's keys might have said yes. */
function closer(one: Denial | undefined, other: Denial): Denial {
  if (one === undefined) return other;
  if (DENIALS[one.code].certainty === "could-not-tell") return one;
  if (DENIALS[other.code].certainty === "could-not-tell") return other;
  return PROGRESS.indexOf(other.code) > PROGRESS.indexOf(one.code) ? other : one;
}

function refuse(denial: Denial): Identity {
  return { kind: "refused", denial };
}
