/**
 * One attempt to get the keys of a source over the network: a key set's address, or OpenID Connect Discovery
 * 1.0. Resolves to keys or throws with a sentence; what to keep when it throws is decided in key-sets.ts.
 */
import { PosternError } from "../../runtime/error.ts";
import type { PublicJwk } from "../../policy/bundle.ts";
import { readJwks } from "../../policy/public-jwk.ts";
import type { KeySource } from "../../policy/resources.ts";
import { fetchJson } from "./fetch.ts";
import type { FetchOptions } from "./fetch.ts";

export type RemoteSource = Extract<KeySource, { readonly kind: "uri" | "discovery" }>;

export async function loadKeys(
  source: RemoteSource,
  signal: AbortSignal,
  options: FetchOptions,
): Promise<readonly PublicJwk[]> {
  const address =
    source.kind === "uri" ? source.uri : await discover(source.issuer, signal, options);
  const read = readJwks(await fetchJson(address, signal, options));
  if (read.kind === "problem") {
    throw new PosternError("fetch.failed", `Keys from ${address}: ${read.message}`);
  }
  return read.jwks;
}

/** OpenID Connect Discovery 1.0 §4: the document must say who it belongs to, and it must be this issuer (§4.3). */
async function discover(
  issuer: string,
  signal: AbortSignal,
  options: FetchOptions,
): Promise<string> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const document = await fetchJson(address, signal, options);
  const { issuer: named, jwks_uri: keys } = (
    typeof document === "object" && document !== null ? document : {}
  ) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  if (named !== issuer) {
    throw new PosternError(
      "fetch.failed",
      `Discovery at ${address}: the document is of issuer ${quote(named)}, required is ${quote(issuer)}`,
    );
  }
  if (typeof keys !== "string") {
    throw new PosternError("fetch.failed", `Discovery at ${address}: "jwks_uri" is missing`);
  }
  return keys;
}

function quote(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 200)) : "(none)";
}
