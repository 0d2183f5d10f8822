/** Who is calling: a credential that does not verify never passes for no credential. */
import { DENIALS } from "../../policy/denials.ts";
import type { Identity } from "../authentication/authenticate.ts";
import { authenticate } from "../authentication/authenticate.ts";
import type { PreparedAuthentication } from "../prepared.ts";
import type { Check, CheckInput, LayerFindings, Verdict } from "./check.ts";
import { PASS } from "./check.ts";

export const authentication: Check = { name: "authentication", evaluate };

function evaluate(input: CheckInput): Verdict | Promise<Verdict> {
  const { authentication } = input.layer;
  if (authentication === undefined) return PASS;
  const identity = authenticate(input.request, authentication, input.nowMs);
  if ("then" in identity) {
    return identity.then((known) => judge(known, authentication, input.findings));
  }
  return judge(identity, authentication, input.findings);
}

function judge(
  identity: Identity,
  { mode }: PreparedAuthentication,
  findings: LayerFindings,
): Verdict {
  switch (identity.kind) {
    case "anonymous":
      return PASS;
    case "subject":
      findings.subject = identity.subject;
      return PASS;
    case "refused": {
      const { denial } = identity;
      const observed = mode === "Observe";
      return DENIALS[denial.code].certainty === "no"
        ? { kind: "refusal", denial, observed }
        : { kind: "undecided", denial, observed };
    }
  }
}
