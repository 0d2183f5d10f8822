/**
 * The schema of a bundle: strict to the last field, so that a sidecar never enforces less than what the
 * controller meant. Besides shapes it holds what bundle.ts promises in words ("never empty", "sorted").
 */
import { SCHEMA_VERSION, SIGNATURE_ALGORITHMS } from "./bundle.ts";
import type { Bundle, BundleLayer, PolicyRef, Rule } from "./bundle.ts";
import { networkText, parseNetwork } from "./ip.ts";
import { comparePathTemplates } from "./path-template.ts";
import {
  distinguished,
  integer,
  listOf,
  object,
  oneOf,
  optional,
  ruled,
  string,
  tagged,
} from "./schema/schema.ts";
import type { Infer, Schema } from "./schema/schema.ts";
import { METHODS } from "./methods.ts";

const MANY = 10_000;
const name = string({ minLength: 1, maxLength: 253 });
const text = string({ maxLength: 4096 });
const mode = oneOf(["Enforce", "Observe"]);
const whole = integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const workloadRef = object({ namespace: name, name });

export const policyRef = promised(
  object({
    kind: oneOf(["ApiSecurityPolicy", "ClusterApiSecurityPolicy"]),
    namespace: optional(name),
    name,
    generation: whole,
  }),
  "namespace must be there for an ApiSecurityPolicy, and absent for a ClusterApiSecurityPolicy",
  ({ kind, namespace }) => (kind === "ApiSecurityPolicy") === (namespace !== undefined),
);

const closed = object({
  code: oneOf(["policy.none", "policy.waiting", "policy.stale", "policy.invalid"]),
  detail: text,
});

const jwk = object({
  kty: oneOf(["RSA", "EC", "OKP"]),
  kid: optional(text),
  alg: optional(oneOf(SIGNATURE_ALGORITHMS)),
  crv: optional(text),
  n: optional(text),
  e: optional(text),
  x: optional(text),
  y: optional(text),
});

const keys = tagged("kind", {
  known: object({ kind: oneOf(["known"]), jwks: listOf(jwk, { maxItems: 64 }) }),
  unavailable: object({ kind: oneOf(["unavailable"]), reason: text }),
});

const location = tagged("in", {
  header: object({ in: oneOf(["header"]), name, prefix: text }),
  cookie: object({ in: oneOf(["cookie"]), name }),
  query: object({ in: oneOf(["query"]), name }),
});

const claimToHeader = object({
  claim: name,
  header: promised(name, "header must be in lower case", (x) => x === x.toLowerCase()),
});

const provider = tagged("kind", {
  jwt: object({
    kind: oneOf(["jwt"]),
    name,
    issuer: text,
    audiences: listOf(text, { maxItems: MANY }),
    algorithms: listOf(oneOf(SIGNATURE_ALGORITHMS), { minItems: 1, maxItems: MANY }),
    locations: listOf(location, { minItems: 1, maxItems: MANY }),
    clockSkewSeconds: integer({ minimum: 0, maximum: 3600 }),
    keys,
    claimsToHeaders: listOf(claimToHeader, { maxItems: MANY }),
  }),
});

const authentication = object({
  mode,
  anonymous: oneOf(["Deny", "Allow"]),
  providers: promised(
    listOf(provider, { maxItems: MANY }),
    "providers must have names of their own",
    (all) => new Set(all.map((x) => x.name)).size === all.length,
  ),
});

const path = promised(
  listOf(
    distinguished({ literal: object({ literal: text }), parameter: object({ parameter: name }) }),
    {
      maxItems: MANY,
    },
  ),
  "only the last segment of a path may be empty",
  (segments) =>
    segments.every(
      (x, index) => !("literal" in x && x.literal === "") || index === segments.length - 1,
    ),
);

const scopeList = listOf(name, { minItems: 1, maxItems: MANY });

const rule = object({
  name,
  methods: promised(
    listOf(oneOf<string>(METHODS), { minItems: 1, maxItems: MANY }),
    "methods must be sorted, each once",
    (all) => all.every((method, index) => index === 0 || (all[index - 1] ?? "") < method),
  ),
  path,
  providers: optional(listOf(name, { minItems: 1, maxItems: MANY })),
  scopes: optional(
    distinguished({ all: object({ all: scopeList }), any: object({ any: scopeList }) }),
  ),
});

const operations = object({
  mode,
  undeclared: oneOf(["Deny", "Allow", "Observe"]),
  rules: promised(
    listOf(rule, { maxItems: MANY }),
    "rules must be sorted, most specific path first, each method and path once",
    inOrder,
  ),
});

const network = promised(
  string({ minLength: 1, maxLength: 49 }),
  "networks must be in canonical CIDR form",
  (text) => {
    const reading = parseNetwork(text);
    return reading.kind === "network" && networkText(reading.network) === text;
  },
);
const networks = listOf(network, { maxItems: MANY });

const transport = object({
  mode,
  tls: oneOf(["Strict", "Permissive", "Plaintext"]),
  clientAddress: tagged("from", {
    Connection: object({ from: oneOf(["Connection"]) }),
    XForwardedFor: object({
      from: oneOf(["XForwardedFor"]),
      trustedHops: integer({ minimum: 1, maximum: 10 }),
    }),
    ProxyProtocol: object({ from: oneOf(["ProxyProtocol"]) }),
  }),
  ipAccess: object({
    allow: tagged("kind", {
      any: object({ kind: oneOf(["any"]) }),
      listed: object({ kind: oneOf(["listed"]), networks }),
    }),
    deny: networks,
  }),
});

const layer = promised(
  promised(
    object({
      policy: policyRef,
      tier: oneOf(["cluster", "namespace", "workload"]),
      closed: optional(closed),
      transport: optional(transport),
      authentication: optional(authentication),
      operations: optional(operations),
    }),
    "a layer must have sections, or be closed, and not both",
    (x) =>
      (x.closed === undefined) ===
      (x.transport !== undefined || x.authentication !== undefined || x.operations !== undefined),
  ),
  "a rule's providers and scopes must rest on the layer's own authentication",
  restsOnAuthentication,
);

const TIERS = ["cluster", "namespace", "workload"];

export const bundleSchema = promised(
  promised(
    promised(
      object({
        schemaVersion: integer({ minimum: SCHEMA_VERSION, maximum: SCHEMA_VERSION }),
        revision: integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
        issuedAtMs: whole,
        digest: string({ maxLength: 71, pattern: "^sha256:[0-9a-f]{64}$" }),
        workload: workloadRef,
        policies: listOf(policyRef, { maxItems: MANY }),
        layers: listOf(layer, { maxItems: MANY }),
        closed: optional(closed),
      }),
      "a bundle must have layers, or be closed, and not both",
      (x) => (x.closed === undefined) === x.layers.length > 0,
    ),
    "layers must be sorted from wide to narrow",
    ({ layers }) =>
      layers.every(
        (x, index) =>
          index === 0 || TIERS.indexOf(layers[index - 1]?.tier ?? "") <= TIERS.indexOf(x.tier),
      ),
  ),
  "policies must be those of the layers, in the same order",
  ({ policies, layers }) =>
    policies.length === layers.length &&
    policies.every((policy, index) => samePolicy(policy, layers[index]?.policy)),
);

/** What the schema infers and what bundle.ts declares are one type: this does not compile otherwise. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type Envelope = Omit<Bundle, "schemaVersion"> & { readonly schemaVersion: number };
export const SCHEMA_IS_TYPE: Same<Infer<typeof bundleSchema>, Envelope> = true;

function inOrder(rules: readonly Pick<Rule, "methods" | "path">[]): boolean {
  return rules.every((rule, index) => {
    const previous = rules[index - 1];
    if (previous === undefined) return true;
    const order = comparePathTemplates(previous.path, rule.path);
    return order < 0 || (order === 0 && disjoint(rules, index));
  });
}

/** Against every earlier rule of the same path; those stand next to each other. */
function disjoint(rules: readonly Pick<Rule, "methods" | "path">[], index: number): boolean {
  const rule = rules[index];
  if (rule === undefined) return true;
  for (const other of rules.slice(0, index).reverse()) {
    if (comparePathTemplates(other.path, rule.path) !== 0) return true;
    if (other.methods.some((method) => rule.methods.includes(method))) return false;
  }
  return true;
}

function restsOnAuthentication({ authentication, operations }: Partial<BundleLayer>): boolean {
  const names = authentication?.providers.map((x) => x.name);
  return (operations?.rules ?? []).every(({ providers, scopes }) => {
    if (providers === undefined && scopes === undefined) return true;
    return names !== undefined && (providers ?? []).every((x) => names.includes(x));
  });
}

function samePolicy(a: PolicyRef, b: PolicyRef | undefined): boolean {
  return (
    b !== undefined &&
    a.kind === b.kind &&
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.generation === b.generation
  );
}

function promised<T>(schema: Schema<T>, message: string, holds: (value: T) => boolean): Schema<T> {
  return ruled(schema, [{ message, holds }]);
}
