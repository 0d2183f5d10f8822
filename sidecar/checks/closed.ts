/** A layer whose policy is broken refuses all that reaches it, in either mode: it cannot say what it would observe. */
import type { Check, CheckInput, Verdict } from "./check.ts";
import { PASS } from "./check.ts";

export const closed: Check = { name: "closed", evaluate };

function evaluate({ layer }: CheckInput): Verdict {
  if (layer.closed === undefined) return PASS;
  return { kind: "undecided", denial: layer.closed, observed: false };
}
