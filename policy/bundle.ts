/**
 * The bundle: what one workload's sidecars enforce. Self-contained, no references left to resolve, units in
 * the names, no optional behaviour: absent never means "all", and what is closed says so with a reason.
 * `compile()` writes it, `readBundle()` is the only way back into the type.
 */
import type { DenialCode } from "./denials.ts";

/** Grows when a sidecar of the previous version could not enforce what a bundle says. */
export const SCHEMA_VERSION = 2;

export type Mode = "Enforce" | "Observe";

/** Layers from wide to narrow. A request must pass every one. */
export type Tier = "cluster" | "namespace" | "workload";

export interface WorkloadRef {
  readonly namespace: string;
  /** As `workloadName()` derives it from the pods' labels. */
  readonly name: string;
}

export interface PolicyRef {
  readonly kind: "ApiSecurityPolicy" | "ClusterApiSecurityPolicy";
  /** Absent for cluster policies. */
  readonly namespace?: string;
  readonly name: string;
  readonly generation: number;
}

/** What `compile()` makes: everything but the envelope. Its canonical digest identifies what is enforced. */
export interface BundleContent {
  readonly workload: WorkloadRef;
  /** What it was compiled from, widest layer first, each layer by namespace and name. */
  readonly policies: readonly PolicyRef[];
  /** Empty only together with `closed`. */
  readonly layers: readonly BundleLayer[];
  /** Refuses everything. */
  readonly closed?: Closed;
}

/** What is published: the content in its envelope. */
export interface Bundle extends BundleContent {
  readonly schemaVersion: typeof SCHEMA_VERSION;
  /** Only grows, per workload. A hybrid clock: max(previous + 1, Unix milliseconds). See ADR 0005. */
  readonly revision: number;
  /** Unix milliseconds. Renewed while nothing changes, so that its age is the bundle's staleness. */
  readonly issuedAtMs: number;
  /** `sha256:<hex>` over the canonical encoding of the content. */
  readonly digest: string;
}

export interface Closed {
  readonly code: Extract<DenialCode, `policy.${string}`>;
  /** For operators: names the policy and the field, where there is one. */
  readonly detail: string;
}

/** One policy, compiled for this workload. */
export interface BundleLayer {
  readonly policy: PolicyRef;
  readonly tier: Tier;
  /** Refuses everything that reaches this layer; then the sections are absent. */
  readonly closed?: Closed;
  /** Absent: this layer does not ask how a request comes in. */
  readonly transport?: Transport;
  /** Absent: this layer does not ask who is calling. */
  readonly authentication?: Authentication;
  /** Absent: this layer does not ask what is called. */
  readonly operations?: Operations;
}

export interface Transport {
  readonly mode: Mode;
  /** Strict: only over TLS. Plaintext: only without. */
  readonly tls: "Strict" | "Permissive" | "Plaintext";
  readonly clientAddress: ClientAddressRule;
  readonly ipAccess: IpAccess;
}

export type ClientAddressRule =
  | { readonly from: "Connection" }
  /** The entry that the outermost of so many trusted proxies has appended: the N-th from the right. */
  | { readonly from: "XForwardedFor"; readonly trustedHops: number }
  | { readonly from: "ProxyProtocol" };

/** Networks in canonical CIDR form. What `deny` has is refused, whatever `allow` has. */
export interface IpAccess {
  readonly allow:
    | { readonly kind: "any" }
    /** Of an empty list: nobody. */
    | { readonly kind: "listed"; readonly networks: readonly string[] };
  readonly deny: readonly string[];
}

export interface Authentication {
  readonly mode: Mode;
  readonly anonymous: "Deny" | "Allow";
  /** Written out even when empty: then nobody can authenticate at this layer. */
  readonly providers: readonly Provider[];
}

/** A union over the kinds of provider; `kind` decides. */
export type Provider = JwtProvider;

export interface JwtProvider {
  readonly kind: "jwt";
  readonly name: string;
  /** Compared byte for byte with `iss`. */
  readonly issuer: string;
  /** Empty: the policy does not name an audience. Otherwise one must be in `aud`. */
  readonly audiences: readonly string[];
  /** Never contains `none` or an HMAC algorithm. */
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly locations: readonly CredentialLocation[];
  readonly clockSkewSeconds: number;
  readonly keys: Keys;
  readonly claimsToHeaders: readonly ClaimToHeader[];
}

export const SIGNATURE_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

/** Public keys, or the reason why there are none: then every token of the provider is refused. */
export type Keys =
  | { readonly kind: "known"; readonly jwks: readonly PublicJwk[] }
  | { readonly kind: "unavailable"; readonly reason: string };

/** A public JWK (RFC 7517), reduced to the members that verification needs; see `policy/public-jwk.ts`. */
export interface PublicJwk {
  readonly kty: "RSA" | "EC" | "OKP";
  readonly kid?: string;
  readonly alg?: SignatureAlgorithm;
  readonly crv?: string;
  readonly n?: string;
  readonly e?: string;
  readonly x?: string;
  readonly y?: string;
}

export type CredentialLocation =
  | { readonly in: "header"; readonly name: string; readonly prefix: string }
  | { readonly in: "cookie"; readonly name: string }
  | { readonly in: "query"; readonly name: string };

export interface ClaimToHeader {
  /** Top-level claim name. */
  readonly claim: string;
  /** Lower case. Stripped from what callers send, in every spelling. */
  readonly header: string;
}

export interface Operations {
  readonly mode: Mode;
  readonly undeclared: "Deny" | "Allow" | "Observe";
  /** Most specific path first; at most one rule matches a method and path. */
  readonly rules: readonly Rule[];
}

export interface Rule {
  readonly name: string;
  /** Upper case, sorted, never empty. */
  readonly methods: readonly string[];
  readonly path: PathTemplate;
  /** Absent: any provider, or none where the layer allows anonymous callers. */
  readonly providers?: readonly string[];
  /** Absent: the rule does not ask for scopes. */
  readonly scopes?: ScopeRule;
}

/** Segments in order; a literal is in decoded form. `/` is no segments; a trailing slash is a last literal "". */
export type PathTemplate = readonly PathSegment[];
export type PathSegment = { readonly literal: string } | { readonly parameter: string };

export type ScopeRule = { readonly all: readonly string[] } | { readonly any: readonly string[] };
