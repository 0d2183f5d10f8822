/**
 * Finds the rule of a method and path: the path first, the most specific one, then the method. A literal
 * segment is more specific than a parameter, and the leftmost difference decides. A path whose own rules lack
 * the method is undeclared for it; a wider template that has the method is told all the same, since where the
 * undeclared is let through the application may well route it there.
 */
import type { Rule } from "../policy/bundle.ts";

export interface RuleTree {
  readonly literals: Map<string, RuleTree>;
  parameter: RuleTree | undefined;
  /** Rules of the template that ends here, by method. Undefined: no template ends here. */
  rules: Map<string, Rule> | undefined;
}

export type RuleMatch =
  | { readonly kind: "declared"; readonly rule: Rule }
  | { readonly kind: "undeclared"; readonly wider: Rule | undefined };

export function growRuleTree(rules: readonly Rule[]): RuleTree {
  const root = leaf();
  for (const rule of rules) {
    let node = root;
    for (const segment of rule.path) {
      if ("literal" in segment) {
        let next = node.literals.get(segment.literal);
        if (next === undefined) node.literals.set(segment.literal, (next = leaf()));
        node = next;
      } else {
        node = node.parameter ??= leaf();
      }
    }
    node.rules ??= new Map();
    // The first one counts, as in the bundle's order; compile() lets no second one through.
    for (const method of rule.methods) {
      if (!node.rules.has(method)) node.rules.set(method, rule);
    }
  }
  return root;
}

export function findRule(tree: RuleTree, method: string, segments: readonly string[]): RuleMatch {
  const narrowest = findTemplate(tree, segments, 0, undefined);
  const rule = narrowest?.get(method);
  if (rule !== undefined) return { kind: "declared", rule };
  const wider = narrowest && findTemplate(tree, segments, 0, method)?.get(method);
  return { kind: "undeclared", wider };
}

/**
 * The most specific template of a path; with a method, of those that have it. Visits a node at most once, so
 * the work is bounded by the policy and not by the caller.
 */
function findTemplate(
  node: RuleTree,
  segments: readonly string[],
  index: number,
  method: string | undefined,
): Map<string, Rule> | undefined {
  const segment = segments[index];
  if (segment === undefined) {
    return method === undefined || node.rules?.has(method) === true ? node.rules : undefined;
  }
  const literal = node.literals.get(segment);
  const found = literal && findTemplate(literal, segments, index + 1, method);
  if (found !== undefined) return found;
  // A parameter is one non-empty segment: `/items/{id}` is not `/items/`.
  if (node.parameter === undefined || segment === "") return undefined;
  return findTemplate(node.parameter, segments, index + 1, method);
}

function leaf(): RuleTree {
  return { literals: new Map(), parameter: undefined, rules: undefined };
}
