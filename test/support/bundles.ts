/** Bundles with full valid defaults: a test says only what it is about. */
import type {
  Authentication,
  Bundle,
  BundleLayer,
  JwtProvider,
  Operations,
  PathTemplate,
  Rule,
  Transport,
} from "../../policy/bundle.ts";
import { SCHEMA_VERSION } from "../../policy/bundle.ts";

export function bundle(parts: Partial<Bundle> = {}): Bundle {
  return {
    schemaVersion: SCHEMA_VERSION,
    workload: { namespace: "shop", name: "orders" },
    revision: 7,
    issuedAtMs: 1_700_000_000_000,
    digest: `sha256:${"0".repeat(64)}`,
    policies: (parts.layers ?? []).map((layer) => layer.policy),
    layers: [],
    ...parts,
  };
}

export function layer(parts: Partial<BundleLayer> = {}): BundleLayer {
  return {
    policy: { kind: "ApiSecurityPolicy", namespace: "shop", name: "orders", generation: 1 },
    tier: "workload",
    ...parts,
  };
}

export function transport(parts: Partial<Transport> = {}): Transport {
  return {
    mode: "Enforce",
    tls: "Permissive",
    clientAddress: { from: "Connection" },
    ipAccess: { allow: { kind: "any" }, deny: [] },
    ...parts,
  };
}

export function authentication(parts: Partial<Authentication> = {}): Authentication {
  return { mode: "Enforce", anonymous: "Deny", providers: [provider()], ...parts };
}

export function provider(parts: Partial<JwtProvider> = {}): JwtProvider {
  return {
    kind: "jwt",
    name: "corp",
    issuer: "https://id.example.com",
    audiences: ["orders"],
    algorithms: ["RS256", "ES256", "EdDSA"],
    locations: [{ in: "header", name: "authorization", prefix: "Bearer" }],
    clockSkewSeconds: 30,
    keys: { kind: "known", jwks: [] },
    claimsToHeaders: [],
    ...parts,
  };
}

export function operations(rules: readonly Rule[], parts: Partial<Operations> = {}): Operations {
  return { mode: "Enforce", undeclared: "Deny", rules, ...parts };
}

/** `rule("GET", "/orders/{id}")`; the path is split as written, without decoding. */
export function rule(methods: string, path: string, parts: Partial<Rule> = {}): Rule {
  return {
    name: `${methods} ${path}`,
    methods: methods.split(" ").sort(),
    path: template(path),
    ...parts,
  };
}

export function template(path: string): PathTemplate {
  if (path === "/") return [];
  return path
    .slice(1)
    .split("/")
    .map((segment) =>
      segment.startsWith("{") && segment.endsWith("}")
        ? { parameter: segment.slice(1, -1) }
        : { literal: segment },
    );
}
