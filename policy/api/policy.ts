/**
 * The spec of `ApiSecurityPolicy` and `ClusterApiSecurityPolicy`: the one source of the static types, the CRDs,
 * the check of files and the reference page. A section that is not here does not exist: using it is an error.
 */
import { defaulted, described, object, optional, ruled } from "../schema/schema.ts";
import type { Infer } from "../schema/schema.ts";
import { authentication } from "./authentication.ts";
import { labelSelector, mode, targetRefs } from "./common.ts";
import { operations } from "./operations.ts";
import { asksSomething, transport } from "./transport.ts";
import type { TransportSpec } from "./transport.ts";

const fields = {
  selector: optional(
    described(
      "Pods that the policy protects, by label. `selector: {}`, written out, means every workload. Exactly one of `selector` and `targetRefs` is required.",
      labelSelector,
    ),
  ),
  targetRefs: optional(targetRefs),
  mode: defaulted(
    described(
      "Enforce refuses; Observe decides and records, and lets through. Each section may say its own.",
      mode,
    ),
    "Enforce",
  ),
  transport: optional(
    described(
      "How a request may come in, and from where. Absent: this policy does not ask.",
      transport,
    ),
  ),
  authentication: optional(
    described("Who is calling. Absent: this policy does not ask.", authentication),
  ),
  operations: optional(
    described("What may be called. Absent: this policy does not ask.", operations),
  ),
};

interface Sections {
  readonly selector?: unknown;
  readonly targetRefs?: unknown;
  readonly transport?: Pick<TransportSpec, "tls" | "ipAccess">;
  readonly authentication?: { readonly providers: readonly { readonly name: string }[] };
  readonly operations?: {
    readonly rules: readonly {
      readonly providers?: readonly string[];
      readonly scopes?: unknown;
    }[];
  };
}

const crossSectionRules = [
  {
    cel: "has(self.selector) != has(self.targetRefs)",
    message:
      "exactly one of spec.selector and spec.targetRefs is required (selector: {} means every workload)",
    holds: ({ selector, targetRefs }: Sections) =>
      (selector === undefined) !== (targetRefs === undefined),
  },
  {
    cel: "has(self.authentication) || has(self.operations) || (has(self.transport) && (has(self.transport.ipAccess) || (has(self.transport.tls) && self.transport.tls != 'Permissive')))",
    message:
      "spec.authentication, spec.operations, or a spec.transport with ipAccess or a tls other than Permissive is required: a policy that asks nothing would let everything through (if that is meant, write operations: {undeclared: Allow})",
    holds: ({ transport, authentication, operations }: Sections) =>
      authentication !== undefined ||
      operations !== undefined ||
      (transport !== undefined && asksSomething(transport)),
  },
  {
    cel: "has(self.authentication) || !has(self.operations) || !has(self.operations.rules) || self.operations.rules.all(r, !has(r.scopes) && !has(r.providers))",
    message:
      "spec.authentication is required when a rule has scopes or providers: otherwise nobody has established who is calling",
    holds: ({ authentication, operations }: Sections) =>
      authentication !== undefined ||
      (operations?.rules ?? []).every(
        ({ scopes, providers }) => scopes === undefined && providers === undefined,
      ),
  },
  {
    cel: "!has(self.authentication) || !has(self.operations) || !has(self.operations.rules) || self.operations.rules.all(r, !has(r.providers) || r.providers.all(p, self.authentication.providers.exists(x, x.name == p)))",
    message: "providers of a rule must be names from spec.authentication.providers",
    fieldPath: ".operations.rules",
    holds: ({ authentication, operations }: Sections) => {
      if (authentication === undefined) return true;
      const names = new Set(authentication.providers.map(({ name }) => name));
      return (operations?.rules ?? []).every(({ providers }) =>
        (providers ?? []).every((name) => names.has(name)),
      );
    },
  },
];

export const policySpec = described(
  "What the policy protects and what it asks.",
  ruled(object(fields), crossSectionRules),
);
export type PolicySpec = Infer<typeof policySpec>;

interface ClusterSections {
  readonly authentication?: {
    readonly providers: readonly {
      readonly jwt: {
        readonly jwks: { readonly secretRef?: unknown; readonly configMapRef?: unknown };
      };
    }[];
  };
}

/** Without a namespace of its own, a cluster policy could only mean somebody else's Secret. */
const clusterRules = [
  {
    cel: "!has(self.authentication) || self.authentication.providers.all(p, !has(p.jwt.jwks.secretRef) && !has(p.jwt.jwks.configMapRef))",
    message:
      "jwks.secretRef and jwks.configMapRef are not possible in a ClusterApiSecurityPolicy, which has no namespace: use jwks.uri, jwks.discovery or jwks.inline",
    fieldPath: ".authentication.providers",
    holds: ({ authentication }: ClusterSections) =>
      (authentication?.providers ?? []).every(
        ({ jwt }) => jwt.jwks.secretRef === undefined && jwt.jwks.configMapRef === undefined,
      ),
  },
];

export const clusterPolicySpec = described(
  "What the policy protects and what it asks.",
  ruled(
    object({
      namespaceSelector: described(
        "Namespaces in which the policy holds, by label. `{}`, written out, means every namespace.",
        labelSelector,
      ),
      ...fields,
    }),
    [...crossSectionRules, ...clusterRules],
  ),
);
export type ClusterPolicySpec = Infer<typeof clusterPolicySpec>;
