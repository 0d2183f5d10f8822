/** Who is calling: a credential that does not verify never passes for no credential. */
import { DENIALS } from "../../policy/denials.ts";
import { authenticate } from "../authentication/authenticate.ts";
import type { Check, CheckInput, Verdict } from "./check.ts";
import { PASS } from "./check.ts";

export const authentication: Check = { name: "authentication", evaluate };

async function evaluate({ request, layer, findings, nowMs }: CheckInput): Promise<Verdict> {
  if (layer.authentication === undefined) return PASS;
  const identity = await authenticate(request, layer.authentication, nowMs);
  switch (identity.kind) {
    case "anonymous":
      return PASS;
    case "subject":
      findings.subject = identity.subject;
      return PASS;
    case "refused": {
      const { denial } = identity;
      const observed = layer.authentication.mode === "Observe";
      return DENIALS[denial.code].certainty === "no"
        ? { kind: "refusal", denial, observed }
        : { kind: "undecided", denial, observed };
    }
  }
}
