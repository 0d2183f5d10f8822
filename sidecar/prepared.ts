/**
 * A bundle made ready to decide with: keys imported, rules in a tree, header names in sets. All work that can
 * be done once is done here, at the swap; the request path never parses policy. A value never changes, so a
 * request keeps the one that it began with.
 */
import type {
  Authentication,
  Bundle,
  BundleLayer,
  ClientAddressRule,
  Closed,
  CredentialLocation,
  Mode,
  Operations,
  Transport,
} from "../policy/bundle.ts";
import type { Denial, DenialCode } from "../policy/denials.ts";
import { deny } from "../policy/denials.ts";
import type { PreparedProvider } from "./authentication/provider.ts";
import { prepareProvider } from "./authentication/provider.ts";
import type { LayerTokens } from "./authentication/token-memory.ts";
import { TokenMemory } from "./authentication/token-memory.ts";
import type { ProxyHeaderUse } from "./connection/inbound.ts";
import { createIpFilter } from "./connection/ip-filter.ts";
import type { IpFilter } from "./connection/ip-filter.ts";
import type { HeaderGuards } from "./normal-form/headers.ts";
import { spelling } from "./normal-form/headers.ts";
import type { RuleTree } from "./rule-tree.ts";
import { growRuleTree } from "./rule-tree.ts";

export interface Prepared {
  /** Absent when no bundle stands behind it (waiting, stale). */
  readonly revision?: number;
  readonly digest?: string;
  /** Refuses everything. */
  readonly closed?: Denial;
  /** Widest first; a request must pass every one. */
  readonly layers: readonly PreparedLayer[];
  readonly guards: HeaderGuards;
  readonly proxyHeader: ProxyHeaderUse;
  /** Tokens that are remembered, of all layers. */
  readonly tokens: Pick<TokenMemory, "size">;
  /** What was left out while preparing, for the log: keys that cannot be used. */
  readonly problems: readonly string[];
}

export interface PreparedLayer {
  /** `namespace/name`, or `name` for a cluster policy. */
  readonly policy: string;
  readonly closed?: Denial;
  readonly transport?: PreparedTransport;
  readonly authentication?: PreparedAuthentication;
  readonly operations?: PreparedOperations;
}

export interface PreparedTransport {
  readonly mode: Mode;
  readonly tls: Transport["tls"];
  readonly clientAddress: ClientAddressRule;
  /** Absent: any address will do. */
  readonly ipAccess?: IpFilter;
}

export interface PreparedAuthentication {
  readonly mode: Mode;
  readonly anonymous: Authentication["anonymous"];
  /** Of all providers, each place once. */
  readonly locations: readonly CredentialLocation[];
  /** In the policy's order. */
  readonly providersByIssuer: ReadonlyMap<string, readonly PreparedProvider[]>;
  /** Tokens that this layer has accepted before. Lives and dies with the bundle. */
  readonly tokens: LayerTokens;
}

export interface PreparedOperations {
  readonly mode: Mode;
  readonly undeclared: Operations["undeclared"];
  readonly rules: RuleTree;
}

const NO_GUARDS: HeaderGuards = { identity: new Set(), credential: new Set() };
const NO_TOKENS = { size: 0 };

export async function prepare(bundle: Bundle): Promise<Prepared> {
  const problems: string[] = [];
  const layers: PreparedLayer[] = [];
  // A new one for each bundle: a key or a rule that went takes with it all that was believed because of it.
  const tokens = new TokenMemory();
  for (const layer of bundle.layers) layers.push(await prepareLayer(layer, tokens, problems));
  return {
    revision: bundle.revision,
    digest: bundle.digest,
    ...closedDenial(bundle.closed ?? emptiness(bundle)),
    layers,
    guards: guardsOf(bundle),
    proxyHeader: proxyHeaderUse(bundle),
    tokens,
    problems,
  };
}

/** Refuses everything, for the times without a bundle that counts. */
export function prepareClosed(
  code: Extract<DenialCode, `policy.${string}`>,
  detail: string,
): Prepared {
  return {
    closed: deny(code, detail),
    layers: [],
    guards: NO_GUARDS,
    // Whoever sends one shall meet this refusal, not one of its syntax.
    proxyHeader: "optional",
    tokens: NO_TOKENS,
    problems: [],
  };
}

/** No layers would mean "nothing is asked"; it must mean the opposite (CVE-2025-64715). */
function emptiness(bundle: Bundle): Closed | undefined {
  if (bundle.layers.length > 0) return undefined;
  return { code: "policy.none", detail: "The bundle has no layers" };
}

async function prepareLayer(
  layer: BundleLayer,
  tokens: TokenMemory,
  problems: string[],
): Promise<PreparedLayer> {
  const { kind, namespace, name } = layer.policy;
  const policy = kind === "ApiSecurityPolicy" ? `${namespace ?? ""}/${name}` : name;
  return {
    policy,
    ...closedDenial(layer.closed),
    ...(layer.transport !== undefined && { transport: prepareTransport(layer.transport) }),
    ...(layer.authentication !== undefined && {
      authentication: await prepareAuthentication(layer.authentication, policy, tokens, problems),
    }),
    ...(layer.operations !== undefined && {
      operations: {
        mode: layer.operations.mode,
        undeclared: layer.operations.undeclared,
        rules: growRuleTree(layer.operations.rules),
      },
    }),
  };
}

function prepareTransport({ ipAccess, ...transport }: Transport): PreparedTransport {
  const isOpen = ipAccess.allow.kind === "any" && ipAccess.deny.length === 0;
  return { ...transport, ...(!isOpen && { ipAccess: createIpFilter(ipAccess) }) };
}

/** Who enforces needs it from every connection; who observes must not keep any away. */
function proxyHeaderUse({ closed, layers }: Bundle): ProxyHeaderUse {
  const asking = layers.filter((x) => x.transport?.clientAddress.from === "ProxyProtocol");
  if (asking.some((x) => x.transport?.mode === "Enforce")) return "required";
  const refusesAll = closed !== undefined || layers.some((x) => x.closed !== undefined);
  return asking.length > 0 || refusesAll ? "optional" : "none";
}

async function prepareAuthentication(
  authentication: Authentication,
  policy: string,
  tokens: TokenMemory,
  problems: string[],
): Promise<PreparedAuthentication> {
  const locations = new Map<string, CredentialLocation>();
  const byIssuer = new Map<string, PreparedProvider[]>();
  for (const provider of authentication.providers) {
    const prepared = await prepareProvider(provider);
    for (const problem of prepared.problems) problems.push(`${policy}: ${problem}`);
    byIssuer.set(provider.issuer, [...(byIssuer.get(provider.issuer) ?? []), prepared]);
    for (const location of provider.locations) locations.set(locationKey(location), location);
  }
  return {
    mode: authentication.mode,
    anonymous: authentication.anonymous,
    locations: [...locations.values()],
    providersByIssuer: byIssuer,
    tokens: tokens.forLayer(),
  };
}

function locationKey(location: CredentialLocation): string {
  switch (location.in) {
    case "header":
      return `header ${location.name.toLowerCase()} ${location.prefix.toLowerCase()}`;
    case "cookie":
    case "query":
      return `${location.in} ${location.name}`;
  }
}

function guardsOf(bundle: Bundle): HeaderGuards {
  const identity = new Set<string>();
  const credential = new Set<string>();
  for (const layer of bundle.layers) {
    for (const provider of layer.authentication?.providers ?? []) {
      for (const { header } of provider.claimsToHeaders) identity.add(spelling(header));
      for (const location of provider.locations) {
        if (location.in === "header") credential.add(location.name.toLowerCase());
      }
    }
  }
  return { identity, credential };
}

function closedDenial(closed: Closed | undefined): { readonly closed?: Denial } {
  return closed === undefined ? {} : { closed: deny(closed.code, closed.detail) };
}
