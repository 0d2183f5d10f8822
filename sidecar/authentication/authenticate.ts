/**
 * Answers one layer's question "who is calling?". No credential is a different answer from a bad one: a bad
 * one is refused even where anonymous callers are welcome.
 */
import type { Denial } from "../../policy/denials.ts";
import { DENIALS, deny } from "../../policy/denials.ts";
import type { NormalRequest } from "../exchange.ts";
import type { PreparedAuthentication } from "../prepared.ts";
import { findCredentials } from "./credentials.ts";
import type { PreparedProvider } from "./provider.ts";
import type { Subject } from "./subject.ts";
import type { LayerTokens } from "./token-memory.ts";
import type { UnverifiedToken } from "./token.ts";
import { readToken } from "./token.ts";
import { lifetimeOf, verifyToken } from "./verify.ts";

export type Identity =
  | { readonly kind: "anonymous" }
  | { readonly kind: "subject"; readonly subject: Subject }
  | { readonly kind: "refused"; readonly denial: Denial };

/** A promise only where a key is slow. */
export function authenticate(
  request: NormalRequest,
  authentication: PreparedAuthentication,
  nowMs: number,
): Identity | Promise<Identity> {
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
  const { tokens } = authentication;
  const key = tokens.keyOf(credential.text);
  const known = tokens.recall(key, nowMs);
  if (known !== undefined) return { kind: "subject", subject: known };
  const token = readToken(credential.text);
  if ("code" in token) return refuse(token);
  const issuer = token.claims["iss"];
  const providers =
    typeof issuer === "string" ? authentication.providersByIssuer.get(issuer) : undefined;
  if (providers === undefined) {
    return refuse(deny("authn.issuer", "The `iss` is missing or belongs to none of the providers"));
  }
  return tryProviders(
    { token, key, providers, tokens, nowMs, closest: undefined, timed: false },
    0,
  );
}

interface Trial {
  readonly token: UnverifiedToken;
  readonly key: string;
  readonly providers: readonly PreparedProvider[];
  readonly tokens: LayerTokens;
  readonly nowMs: number;
  closest: Denial | undefined;
  /** A provider has said no because of the time: it may say yes later, and then it is the one that counts. */
  timed: boolean;
}

/** In the policy's order, less those that have been tried; the first that knows the caller counts. */
function tryProviders(trial: Trial, tried: number): Identity | Promise<Identity> {
  let count = 0;
  for (const provider of trial.providers) {
    count += 1;
    if (count <= tried) continue;
    const result = verifyToken(trial.token, provider, trial.nowMs);
    if ("then" in result) {
      const reached = count;
      return result.then((late) => conclude(trial, provider, late) ?? tryProviders(trial, reached));
    }
    const identity = conclude(trial, provider, result);
    if (identity !== undefined) return identity;
  }
  return refuse(trial.closest ?? deny("authn.issuer", "No provider has the token's issuer"));
}

function conclude(
  trial: Trial,
  provider: PreparedProvider,
  found: Subject | Denial,
): Identity | undefined {
  if ("code" in found) {
    trial.closest = closer(trial.closest, found);
    trial.timed ||= found.code === "authn.expired" || found.code === "authn.not-yet-valid";
    return undefined;
  }
  if (!trial.timed) {
    trial.tokens.remember(trial.key, found, lifetimeOf(found.claims, provider));
  }
  return { kind: "subject", subject: found };
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
