/** May this caller use this operation: the rule's providers and scopes (RFC 6750 §3.1). */
import type { Rule, ScopeRule } from "../../policy/bundle.ts";
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { Check, CheckInput, Refusal, Verdict } from "./check.ts";
import { PASS } from "./check.ts";

export const authorization: Check = { name: "authorization", evaluate };

function evaluate({ layer, findings }: CheckInput): Verdict {
  const { rule, subject } = findings;
  if (rule === undefined || (rule.providers === undefined && rule.scopes === undefined))
    return PASS;
  const observed = layer.operations?.mode === "Observe";
  if (subject === undefined) {
    const denial = deny(
      "authn.missing",
      `The rule "${rule.name}" asks for an authenticated caller`,
    );
    return refuse(rule, denial, observed);
  }
  if (rule.providers !== undefined && !rule.providers.includes(subject.provider)) {
    const denial = deny(
      "authz.provider",
      `The rule "${rule.name}" does not accept provider "${subject.provider}"`,
    );
    return refuse(rule, denial, observed);
  }
  const missing = rule.scopes === undefined ? [] : missingScopes(rule.scopes, subject.scopes);
  if (missing.length === 0) return PASS;
  const denial = deny(
    "authz.scope",
    `The rule "${rule.name}" asks for the scope "${missing.join(" ")}"`,
  );
  return { ...refuse(rule, denial, observed), scopes: missing };
}

/** What would have been enough. Of alternatives, the first: a challenge cannot say "or". */
function missingScopes(rule: ScopeRule, has: ReadonlySet<string>): readonly string[] {
  if ("all" in rule) return rule.all.every((scope) => has.has(scope)) ? [] : rule.all;
  // `any` of nothing is nothing that one could have.
  if (rule.any.some((scope) => has.has(scope))) return [];
  return rule.any.length === 0 ? [""] : rule.any.slice(0, 1);
}

function refuse(rule: Rule, denial: Denial, observed: boolean): Refusal {
  return { kind: "refusal", denial, observed, rule: rule.name };
}
