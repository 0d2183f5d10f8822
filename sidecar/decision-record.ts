/**
 * One structured record per decision: what was asked, what was decided, by which check, policy and rule, and
 * how it ended. Holds no credential: no query, no headers, of the claims only the subject's id.
 */
import type { DenialCode } from "../policy/denials.ts";
import type { Log } from "../runtime/log.ts";
import { isSuspicious, redact } from "../runtime/redact.ts";
import type { Attribution, Decision } from "./pipeline.ts";
import type { Prepared } from "./prepared.ts";

/** `cut`: the application's answer broke off. `gone`: the caller went first. */
export type Outcome = "permit" | "deny" | "failed" | "cut" | "gone";

export interface DecisionRecord {
  readonly requestId: string;
  readonly clientAddress: string;
  readonly outcome: Outcome;
  /** Status that the caller got; 0 when it got none. */
  readonly status: number;
  readonly durationMs: number;
  readonly method?: string;
  /** As sent, without the query. */
  readonly path?: string;
  readonly host?: string;
  readonly code?: DenialCode;
  /** For operators. */
  readonly detail?: string;
  readonly check?: string;
  readonly policy?: string;
  readonly rule?: string;
  readonly subject?: string;
  readonly provider?: string;
  readonly revision?: number;
  readonly wouldDeny?: readonly WouldDeny[];
}

export interface WouldDeny {
  readonly code: DenialCode;
  readonly detail: string;
  readonly check: string;
  readonly policy?: string;
  readonly rule?: string;
}

/** Where records go. Must return at once and never throw: a request waits for nobody's disk. */
export type RecordSink = (record: DecisionRecord) => void;

/** Longer texts were chosen by the caller to fill our log. */
const MAX_TEXT = 512;

/** One line of the log per record. */
export function logRecords(log: Log): RecordSink {
  return (record) => log.line("decision", () => recordText(record));
}

/**
 * A record's fields have names of ours, so only what stands in them can be secret, and for that one look at the
 * whole text tells whether a closer one is needed.
 */
function recordText(record: DecisionRecord): string {
  const text = JSON.stringify(record);
  return isSuspicious(text) ? JSON.stringify(redact(record)) : text;
}

type DecisionFields = Partial<Pick<DecisionRecord, "clientAddress">> &
  Pick<
    DecisionRecord,
    | "subject"
    | "provider"
    | "policy"
    | "rule"
    | "check"
    | "code"
    | "detail"
    | "revision"
    | "wouldDeny"
  >;

/** The part of a record that comes from a decision. */
export function decisionFields(decision: Decision, prepared: Prepared): DecisionFields {
  const { clientAddress, subject, rule, wouldDeny } = decision;
  const fields: { -readonly [Name in keyof DecisionFields]: DecisionFields[Name] } = {};
  if (clientAddress !== undefined) fields.clientAddress = clientAddress;
  if (subject !== undefined) {
    fields.provider = subject.provider;
    if (subject.id !== undefined) fields.subject = bounded(subject.id);
  }
  if (decision.kind === "deny") Object.assign(fields, attributionFields(decision.refused));
  else if (rule !== undefined) {
    fields.policy = rule.policy;
    fields.rule = rule.name;
  }
  if (prepared.revision !== undefined) fields.revision = prepared.revision;
  if (wouldDeny.length > 0) fields.wouldDeny = wouldDeny.map(attributionFields);
  return fields;
}

export function bounded(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

function attributionFields({ denial, check, policy, rule }: Attribution): WouldDeny {
  return {
    code: denial.code,
    detail: bounded(denial.detail),
    check,
    ...(policy !== undefined && { policy }),
    ...(rule !== undefined && { rule }),
  };
}
