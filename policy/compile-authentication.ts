/** `spec.authentication` → what a sidecar checks. Each provider stands alone: one without keys refuses only its own tokens. */
import type { AuthenticationSpec, ProviderSpec } from "./api/authentication.ts";
import { durationSeconds } from "./api/authentication.ts";
import type {
  Authentication,
  CredentialLocation,
  Keys,
  Mode,
  PolicyRef,
  Provider,
} from "./bundle.ts";
import { keySourceId, keySourceOf } from "./key-sources.ts";
import { problem } from "./problems.ts";
import type { Problem } from "./problems.ts";
import { readJwks } from "./public-jwk.ts";
import type { KeyResolution } from "./resources.ts";

const MAX_REASON = 1024;

/** What a source resolved to; undefined when it has not been resolved at all. */
export type KeyLookup = (sourceId: string) => KeyResolution | undefined;

export function compileAuthentication(
  policy: PolicyRef,
  spec: AuthenticationSpec,
  defaultMode: Mode,
  keys: KeyLookup,
): { readonly authentication: Authentication; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const providers = spec.providers.map((provider, index): Provider => {
    const path = `spec.authentication.providers[${index}].jwt.jwks`;
    const { jwt } = provider;
    return {
      kind: "jwt",
      name: provider.name,
      issuer: jwt.issuer,
      audiences: jwt.audiences ?? [],
      algorithms: jwt.algorithms,
      locations: jwt.locations.map(compileLocation),
      clockSkewSeconds: durationSeconds(jwt.clockSkew),
      keys: resolveKeys(policy, provider, path, keys, problems),
      claimsToHeaders: (jwt.claimsToHeaders ?? []).map(({ claim, header }) => ({
        claim,
        header: header.toLowerCase(),
      })),
    };
  });
  return {
    authentication: { mode: spec.mode ?? defaultMode, anonymous: spec.anonymous, providers },
    problems,
  };
}

function resolveKeys(
  policy: PolicyRef,
  provider: ProviderSpec,
  path: string,
  keys: KeyLookup,
  problems: Problem[],
): Keys {
  const { inline } = provider.jwt.jwks;
  if (inline !== undefined) return inlineKeys(policy, inline, path, problems);
  const source = keySourceOf(provider, policy.namespace);
  const resolution: KeyResolution =
    source === undefined
      ? { kind: "unavailable", reason: "a cluster policy has no namespace to read it from" }
      : (keys(keySourceId(source)) ?? {
          kind: "unavailable",
          reason: "the keys have not been fetched yet",
        });
  if (resolution.kind === "known") return resolution;
  const reason = bounded(resolution.reason);
  const message = `no keys for provider "${provider.name}": ${reason}`;
  problems.push(problem(policy, "KeysUnavailable", path, message));
  return { kind: "unavailable", reason };
}

function inlineKeys(policy: PolicyRef, inline: string, path: string, problems: Problem[]): Keys {
  const reading = readJwks(inline);
  if (reading.kind === "keys" && reading.jwks.length > 0) {
    return { kind: "known", jwks: reading.jwks };
  }
  const message =
    reading.kind === "problem"
      ? reading.message
      : ["the JSON Web Key Set has no usable key", ...reading.ignored].join("; ");
  problems.push(problem(policy, "KeysInvalid", `${path}.inline`, message));
  return { kind: "unavailable", reason: bounded(message) };
}

function compileLocation(location: ProviderSpec["jwt"]["locations"][number]): CredentialLocation {
  if (location.cookie !== undefined) return { in: "cookie", name: location.cookie };
  if (location.query !== undefined) return { in: "query", name: location.query };
  return {
    in: "header",
    name: (location.header ?? "authorization").toLowerCase(),
    prefix: location.prefix ?? "",
  };
}

/** It came from a key server's answer, and readBundle() holds it to a maximum. */
function bounded(reason: string): string {
  return reason.slice(0, MAX_REASON).toWellFormed();
}
