/**
 * The ordered list of checks, the decision, and the permit. Nothing reaches the application without a Permit,
 * and `decide()` is the only function that makes one. A check that throws denies.
 */
import type { Denial } from "../policy/denials.ts";
import { DENIALS, deny } from "../policy/denials.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import type { Subject } from "./authentication/subject.ts";
import { authentication } from "./checks/authentication.ts";
import { authorization } from "./checks/authorization.ts";
import type { Check, CheckInput, LayerFindings, Verdict } from "./checks/check.ts";
import { closed } from "./checks/closed.ts";
import { operation } from "./checks/operation.ts";
import type { Exchange, HeaderLine } from "./exchange.ts";
import type { Prepared } from "./prepared.ts";

/** Every request passes these, in this order, each through all layers; the first refusal ends it. */
export const CHECKS: readonly Check[] = [
  closed, //         a broken policy covers what it covers, before anything is worked out
  operation, //      what is called: cheap, and leaves the undeclared out before any crypto
  authentication, // who is calling
  authorization, //  may this caller use this operation
];

/** Who refused: for the record and for the operator, never for the caller. */
export interface Attribution {
  readonly denial: Denial;
  readonly certain: boolean;
  readonly check: string;
  readonly policy?: string;
  readonly rule?: string;
  readonly scopes?: readonly string[];
}

class Permit {
  readonly #exchange: Exchange;
  readonly #identity: readonly HeaderLine[];

  constructor(exchange: Exchange, identity: readonly HeaderLine[]) {
    this.#exchange = exchange;
    this.#identity = identity;
  }

  get exchange(): Exchange {
    return this.#exchange;
  }

  /** What the application is told of the caller. */
  get identity(): readonly HeaderLine[] {
    return this.#identity;
  }
}
export type { Permit };

interface Findings {
  /** Of the narrowest layer that knows. */
  readonly subject: Subject | undefined;
  readonly rule: { readonly policy: string; readonly name: string } | undefined;
  /** What sections in mode Observe would have refused. */
  readonly wouldDeny: readonly Attribution[];
}

export type Decision =
  | (Findings & { readonly kind: "permit"; readonly permit: Permit })
  | (Findings & { readonly kind: "deny"; readonly refused: Attribution });

export async function decide(
  prepared: Prepared,
  exchange: Exchange,
  clock: Pick<Clock, "now">,
  checks: readonly Check[] = CHECKS,
): Promise<Decision> {
  const wouldDeny: Attribution[] = [];
  const inputs: CheckInput[] = prepared.layers.map((layer) => ({
    request: exchange,
    nowMs: clock.now(),
    layer,
    findings: { rule: undefined, subject: undefined },
  }));
  const denied = (refused: Attribution): Decision => ({
    kind: "deny",
    refused,
    ...summary(inputs, wouldDeny),
  });

  if (prepared.closed !== undefined) {
    return denied(attribute(prepared.closed, "closed", undefined));
  }
  if (inputs.length === 0) {
    const denial = deny("policy.none", "There is no layer of policy");
    return denied(attribute(denial, "closed", undefined));
  }
  for (const check of checks) {
    for (const input of inputs) {
      const verdict = await judge(check, input);
      if (verdict.kind === "pass") continue;
      const refused: Attribution = {
        ...attribute(verdict.denial, check.name, input.layer.policy),
        ...(verdict.kind === "refusal" && verdict.rule !== undefined && { rule: verdict.rule }),
        ...(verdict.kind === "refusal" &&
          verdict.scopes !== undefined && { scopes: verdict.scopes }),
      };
      if (!verdict.observed) return denied(refused);
      wouldDeny.push(refused);
    }
  }
  const identity = identityOf(inputs.map(({ findings }) => findings));
  if ("code" in identity) return denied(attribute(identity, "authentication", undefined));
  return {
    kind: "permit",
    permit: new Permit(exchange, identity.headers),
    ...summary(inputs, wouldDeny),
  };
}

async function judge(check: Check, input: CheckInput): Promise<Verdict> {
  try {
    return await check.evaluate(input);
  } catch (cause) {
    // Not even in mode Observe: what broke here is ours, and nobody has seen what the section would say.
    const denial = deny("check.failed", `The check "${check.name}" failed: ${describe(cause)}`);
    return { kind: "undecided", denial, observed: false };
  }
}

/** Layers may name one header; they may not disagree on its value. */
function identityOf(
  findings: readonly LayerFindings[],
): { readonly headers: readonly HeaderLine[] } | Denial {
  const headers = new Map<string, HeaderLine>();
  for (const { subject } of findings) {
    for (const line of subject?.identityHeaders ?? []) {
      const other = headers.get(line.key);
      if (other !== undefined && other.value !== line.value) {
        return deny("authn.ambiguous", `Two layers disagree on the header "${line.key}"`);
      }
      headers.set(line.key, line);
    }
  }
  return { headers: [...headers.values()] };
}

function attribute(denial: Denial, check: string, policy: string | undefined): Attribution {
  return {
    denial,
    certain: DENIALS[denial.code].certainty === "no",
    check,
    ...(policy !== undefined && { policy }),
  };
}

function summary(inputs: readonly CheckInput[], wouldDeny: readonly Attribution[]): Findings {
  const subject = inputs.findLast(({ findings }) => findings.subject !== undefined);
  const ruled = inputs.findLast(({ findings }) => findings.rule !== undefined);
  return {
    subject: subject?.findings.subject,
    rule: ruled?.findings.rule && { policy: ruled.layer.policy, name: ruled.findings.rule.name },
    wouldDeny,
  };
}
