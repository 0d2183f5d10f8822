/**
 * `spec.operations` → rules in the order in which a sidecar asks them: most specific path first. A rule that
 * cannot be compiled spoils the section (the caller closes the layer), since leaving it out could mean either more
 * or less than its author wanted.
 */
import type { OperationsSpec, RuleSpec } from "./api/operations.ts";
import type { Mode, Operations, PathTemplate, PolicyRef, Rule, ScopeRule } from "./bundle.ts";
import { comparePathTemplates, parsePathTemplate } from "./path-template.ts";
import { compareText, problem } from "./problems.ts";
import type { Problem } from "./problems.ts";

export function compileOperations(
  policy: PolicyRef,
  spec: OperationsSpec,
  defaultMode: Mode,
  /** Undefined: the policy has no authentication section. */
  providerNames: readonly string[] | undefined,
): { readonly operations: Operations; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const parsed: Parsed[] = [];
  for (const [index, rule] of spec.rules.entries()) {
    const at = `spec.operations.rules[${index}]`;
    const reading = parsePathTemplate(rule.path);
    if (reading.kind === "problem") {
      problems.push(problem(policy, "PathInvalid", `${at}.path`, reading.message));
    } else {
      parsed.push({ at, rule, template: reading.template });
    }
    problems.push(...providerProblems(policy, at, rule, providerNames));
  }
  parsed.sort(
    (a, b) =>
      comparePathTemplates(a.template, b.template) ||
      compareText(a.rule.methods.toSorted().join(), b.rule.methods.toSorted().join()) ||
      compareText(a.rule.name, b.rule.name),
  );
  problems.push(...conflicts(policy, parsed));
  return {
    operations: {
      mode: spec.mode ?? defaultMode,
      undeclared: spec.undeclared,
      rules: parsed.map(compileRule),
    },
    problems,
  };
}

interface Parsed {
  readonly at: string;
  readonly rule: RuleSpec;
  readonly template: PathTemplate;
}

function providerProblems(
  policy: PolicyRef,
  at: string,
  { providers, scopes }: RuleSpec,
  known: readonly string[] | undefined,
): Problem[] {
  if (known === undefined) {
    return providers === undefined && scopes === undefined
      ? []
      : [
          problem(
            policy,
            "UnknownProvider",
            at,
            "a rule with scopes or providers needs spec.authentication in the same policy",
          ),
        ];
  }
  return (providers ?? []).flatMap((name, index) =>
    known.includes(name)
      ? []
      : [
          problem(
            policy,
            "UnknownProvider",
            `${at}.providers[${index}]`,
            `there is no provider "${name}" in spec.authentication.providers (it has: ${known.join(", ") || "none"})`,
          ),
        ],
  );
}

/** Rules of one path stand next to each other after sorting. */
function conflicts(policy: PolicyRef, sorted: readonly Parsed[]): Problem[] {
  const problems: Problem[] = [];
  let taken = new Map<string, string>();
  for (const [index, { at, rule, template }] of sorted.entries()) {
    const previous = sorted[index - 1];
    if (previous !== undefined && comparePathTemplates(previous.template, template) !== 0) {
      taken = new Map();
    }
    for (const method of rule.methods) {
      const other = taken.get(method);
      if (other !== undefined) {
        problems.push(
          problem(
            policy,
            "OperationConflict",
            at,
            `${method} ${rule.path} is already covered by rule "${other}"`,
          ),
        );
        break;
      }
    }
    for (const method of rule.methods) taken.set(method, rule.name);
  }
  return problems;
}

function compileRule({ rule, template }: Parsed): Rule {
  const scopes = compileScopes(rule.scopes);
  return {
    name: rule.name,
    methods: rule.methods.toSorted(),
    path: template,
    ...(rule.providers === undefined ? {} : { providers: rule.providers }),
    ...(scopes === undefined ? {} : { scopes }),
  };
}

function compileScopes(spec: RuleSpec["scopes"]): ScopeRule | undefined {
  if (spec === undefined) return undefined;
  // Neither cannot pass the schema; if it did, an empty `any` would be a rule that nobody satisfies.
  return spec.all === undefined ? { any: spec.any ?? [] } : { all: spec.all };
}
