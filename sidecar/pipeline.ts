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
import type { Check, CheckInput, Verdict } from "./checks/check.ts";
import { closed } from "./checks/closed.ts";
import { operation } from "./checks/operation.ts";
import { transport } from "./checks/transport.ts";
import { misdirection } from "./connection/misdirection.ts";
import type { Exchange, HeaderLine } from "./exchange.ts";
import type { Prepared } from "./prepared.ts";

/** Every request passes these, in this order, each through all layers; the first refusal ends it. */
export const CHECKS: readonly Check[] = [
  closed, //         a broken policy covers what it covers, before anything is worked out
  transport, //      how it came in and from where: cheap, and keeps strangers from all that follows
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

const NOTHING: readonly Attribution[] = [];
const NO_LINES: readonly HeaderLine[] = [];

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
  /** By the rule of the narrowest layer that has one. */
  readonly clientAddress: string | undefined;
  /** What sections in mode Observe would have refused. */
  readonly wouldDeny: readonly Attribution[];
}

export type Decision =
  | (Findings & { readonly kind: "permit"; readonly permit: Permit })
  | (Findings & { readonly kind: "deny"; readonly refused: Attribution });

/** One request on its way through the checks. */
interface Passage {
  readonly prepared: Prepared;
  readonly exchange: Exchange;
  readonly checks: readonly Check[];
  readonly inputs: readonly CheckInput[];
  wouldDeny: readonly Attribution[];
}

/** A promise only when a check has to wait for something: most requests are decided in one go. */
export function decide(
  prepared: Prepared,
  exchange: Exchange,
  clock: Pick<Clock, "now">,
  checks: readonly Check[] = CHECKS,
): Decision | Promise<Decision> {
  const nowMs = clock.now();
  const inputs: CheckInput[] = [];
  for (const layer of prepared.layers) {
    const findings = { clientAddress: undefined, rule: undefined, subject: undefined };
    inputs.push({ request: exchange, client: exchange.client, nowMs, layer, findings });
  }
  const passage: Passage = { prepared, exchange, checks, inputs, wouldDeny: NOTHING };
  if (prepared.closed !== undefined) {
    return denied(passage, attribute(prepared.closed, "closed", undefined));
  }
  if (inputs.length === 0) {
    const denial = deny("policy.none", "There is no layer of policy");
    return denied(passage, attribute(denial, "closed", undefined));
  }
  const misdirected = misdirection(exchange.client, exchange.host);
  if (misdirected !== undefined) {
    return denied(passage, attribute(misdirected, "transport", undefined));
  }
  return proceed(passage, 0);
}

/** Each check through all layers, then the next one; `done` of these steps lie behind. */
function proceed(passage: Passage, done: number): Decision | Promise<Decision> {
  let step = 0;
  for (const check of passage.checks) {
    for (const input of passage.inputs) {
      step += 1;
      if (step <= done) continue;
      const verdict = judge(check, input);
      if ("then" in verdict) {
        const reached = step;
        return verdict.then(
          (late) => conclude(passage, check, input, late) ?? proceed(passage, reached),
        );
      }
      const end = conclude(passage, check, input, verdict);
      if (end !== undefined) return end;
    }
  }
  return permit(passage);
}

function judge(check: Check, input: CheckInput): Verdict | Promise<Verdict> {
  try {
    const verdict = check.evaluate(input);
    return "then" in verdict ? verdict.catch((cause: unknown) => failure(check, cause)) : verdict;
  } catch (cause) {
    return failure(check, cause);
  }
}

function failure(check: Check, cause: unknown): Verdict {
  // Not even in mode Observe: what broke here is ours, and nobody has seen what the section would say.
  const denial = deny("check.failed", `The check "${check.name}" failed: ${describe(cause)}`);
  return { kind: "undecided", denial, observed: false };
}

/** The end, or undefined when the request goes on. */
function conclude(
  passage: Passage,
  check: Check,
  input: CheckInput,
  verdict: Verdict,
): Decision | undefined {
  if (verdict.kind === "pass") return undefined;
  const refused: Attribution = {
    ...attribute(verdict.denial, check.name, input.layer.policy),
    ...(verdict.kind === "refusal" && verdict.rule !== undefined && { rule: verdict.rule }),
    ...(verdict.kind === "refusal" && verdict.scopes !== undefined && { scopes: verdict.scopes }),
  };
  if (!verdict.observed) return denied(passage, refused);
  passage.wouldDeny = [...passage.wouldDeny, refused];
  return undefined;
}

function permit(passage: Passage): Decision {
  const identity = identityOf(passage.inputs);
  if ("code" in identity) {
    return denied(passage, attribute(identity, "authentication", undefined));
  }
  return {
    kind: "permit",
    permit: new Permit(passage.exchange, identity.headers),
    ...summary(passage),
  };
}

function denied(passage: Passage, refused: Attribution): Decision {
  return { kind: "deny", refused, ...summary(passage) };
}

/** Layers may name one header; they may not disagree on its value. */
function identityOf(
  inputs: readonly CheckInput[],
): { readonly headers: readonly HeaderLine[] } | Denial {
  let headers: HeaderLine[] | undefined;
  for (const { findings } of inputs) {
    for (const line of findings.subject?.identityHeaders ?? NO_LINES) {
      headers ??= [];
      const other = headers.find(({ key }) => key === line.key);
      if (other === undefined) headers.push(line);
      else if (other.value !== line.value) {
        return deny("authn.ambiguous", `Two layers disagree on the header "${line.key}"`);
      }
    }
  }
  return { headers: headers ?? NO_LINES };
}

function attribute(denial: Denial, check: string, policy: string | undefined): Attribution {
  return {
    denial,
    certain: DENIALS[denial.code].certainty === "no",
    check,
    ...(policy !== undefined && { policy }),
  };
}

function summary({ inputs, wouldDeny }: Passage): Findings {
  let subject: Subject | undefined;
  let rule: Findings["rule"];
  let clientAddress: string | undefined;
  for (const { findings, layer } of inputs) {
    if (findings.subject !== undefined) ({ subject } = findings);
    if (findings.clientAddress !== undefined) ({ clientAddress } = findings);
    if (findings.rule !== undefined) rule = { policy: layer.policy, name: findings.rule.name };
  }
  return { subject, rule, clientAddress, wouldDeny };
}
