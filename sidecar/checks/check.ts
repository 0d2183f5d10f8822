/**
 * What a check is and what it may see. A check judges one layer at a time; the pipeline asks every layer and
 * knows nothing of what is asked.
 */
import type { Rule } from "../../policy/bundle.ts";
import type { Denial } from "../../policy/denials.ts";
import type { Subject } from "../authentication/subject.ts";
import type { ClientOrigin } from "../connection/inbound.ts";
import type { NormalRequest } from "../exchange.ts";
import type { PreparedLayer } from "../prepared.ts";

/** "No" and "could not tell" are different types; both keep the request from the application. */
export type Verdict = Pass | Refusal | Undecided;

export interface Pass {
  readonly kind: "pass";
}

/** Policy says no. */
export interface Refusal {
  readonly kind: "refusal";
  readonly denial: Denial;
  /** Its section observes: the refusal is recorded, and the request goes on. */
  readonly observed: boolean;
  /** Name of the rule that refused, where there is one. */
  readonly rule?: string;
  /** Scopes for the challenge of RFC 6750 §3. */
  readonly scopes?: readonly string[];
}

/** We could not decide. */
export interface Undecided {
  readonly kind: "undecided";
  readonly denial: Denial;
  readonly observed: boolean;
}

export const PASS: Pass = { kind: "pass" };

/** What one layer has found out about a request; each field is written by one check. */
export interface LayerFindings {
  /** By the `transport` check: the client's address by the layer's own rule. */
  clientAddress: string | undefined;
  /** By the `operation` check. */
  rule: Rule | undefined;
  /** By the `authentication` check. */
  subject: Subject | undefined;
}

export interface CheckInput {
  readonly request: NormalRequest;
  readonly client: ClientOrigin;
  readonly nowMs: number;
  readonly layer: PreparedLayer;
  readonly findings: LayerFindings;
}

export interface Check {
  readonly name: string;
  readonly evaluate: (input: CheckInput) => Verdict | Promise<Verdict>;
}
