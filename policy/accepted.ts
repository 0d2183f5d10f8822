/** What is wrong with one policy → its `Accepted` condition. Errors deny it; warnings are told and do not. */
import { problemText } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { Condition } from "./status.ts";

/** Enough to act on; the rest follows once these are corrected. */
const MAX_TOLD = 5;

export function acceptedCondition(
  problems: readonly Problem[],
): Pick<Condition, "status" | "reason" | "message"> {
  const errors = problems.filter(({ severity }) => severity === "error");
  const told = errors.length > 0 ? errors : problems;
  const first = told[0];
  if (first === undefined) {
    return { status: "True", reason: "Accepted", message: "The policy is valid" };
  }
  const more = told.length > MAX_TOLD ? ` (and ${told.length - MAX_TOLD} more)` : "";
  return {
    status: errors.length > 0 ? "False" : "True",
    reason: first.reason,
    message: `${told.slice(0, MAX_TOLD).map(problemText).join("; ")}${more}`,
  };
}
