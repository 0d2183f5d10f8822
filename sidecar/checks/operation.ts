/** The positive model: only declared operations reach the application. Before any crypto, since it is cheap. */
import { deny } from "../../policy/denials.ts";
import { findRule } from "../rule-tree.ts";
import type { Check, CheckInput, Verdict } from "./check.ts";
import { PASS } from "./check.ts";

export const operation: Check = { name: "operation", evaluate };

function evaluate({ request, layer, findings }: CheckInput): Verdict {
  const { operations } = layer;
  if (operations === undefined) return PASS;
  const match = findRule(operations.rules, request.method, request.segments);
  if (match.kind === "declared") {
    findings.rule = match.rule;
    return PASS;
  }
  // What the wider rule asks for is asked for, lest a rule for another method opens the path.
  findings.rule = match.wider;
  if (operations.undeclared === "Allow") return PASS;
  return {
    kind: "refusal",
    denial: deny("operation.undeclared", `No rule declares ${request.method} ${request.path}`),
    observed: operations.undeclared === "Observe" || operations.mode === "Observe",
  };
}
