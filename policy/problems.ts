/**
 * Everything that can be wrong with a policy, as its author meets it: one table, documented in
 * docs/reference/problems.md. The reason becomes the reason of the `Accepted` condition.
 */
import type { PolicyRef } from "./bundle.ts";
import { policyId } from "./policy-id.ts";

/** "error": the policy is not accepted. "warning": it is, and something about it needs attention. */
export type Severity = "error" | "warning";

interface ProblemRow {
  readonly severity: Severity;
  /** What it means. */
  readonly meaning: string;
  /** What is enforced meanwhile. */
  readonly effect: string;
  readonly remedy: string;
}

export const PROBLEMS = {
  Invalid: {
    severity: "error",
    meaning: "The object is not of the schema (it got past admission, or stands in a file).",
    effect:
      "Every workload that its selector selects is closed (`policy.invalid`); if the selector cannot be read either, every workload of its namespace.",
    remedy: "Correct the field that the message names.",
  },
  TargetNotFound: {
    severity: "error",
    meaning: "`spec.targetRefs` names a Service that does not exist or has no selector.",
    effect: "The policy protects nothing through this reference.",
    remedy: "Create the Service, or correct the name.",
  },
  PathInvalid: {
    severity: "error",
    meaning: "A path template can never match a request in normal form, or is not a template.",
    effect: "The policy's layer is closed (`policy.invalid`).",
    remedy: "Write the template as the message says.",
  },
  NetworkInvalid: {
    severity: "error",
    meaning: "An entry of `transport.ipAccess` is not a network in CIDR form.",
    effect: "The policy's layer is closed (`policy.invalid`).",
    remedy: "Write the network as the message says.",
  },
  OperationConflict: {
    severity: "error",
    meaning: "Two rules cover the same method and path, so it is not clear which one decides.",
    effect: "The policy's layer is closed (`policy.invalid`).",
    remedy: "Join the two rules, or give them different methods.",
  },
  UnknownProvider: {
    severity: "error",
    meaning: "A rule names a provider that `spec.authentication.providers` does not have.",
    effect: "The policy's layer is closed (`policy.invalid`).",
    remedy: "Correct the name, or add the provider.",
  },
  KeysInvalid: {
    severity: "error",
    meaning: "`jwks.inline` is not a JSON Web Key Set of usable public keys.",
    effect: "Tokens of this provider are refused (`authn.keys-unavailable`); the rest goes on.",
    remedy: "Put in the issuer's public keys, as its JWKS endpoint serves them.",
  },
  KeysUnavailable: {
    severity: "warning",
    meaning:
      "The provider's keys could not be had: the URL, the discovery document, the Secret or the ConfigMap.",
    effect: "Tokens of this provider are refused (`authn.keys-unavailable`); the rest goes on.",
    remedy: "See the message for the cause. The controller keeps trying.",
  },
  NothingSelected: {
    severity: "warning",
    meaning: "No pod that carries a sidecar matches the policy at present.",
    effect: "The policy protects nothing.",
    remedy: "Compare the selector with the pods' labels; check that the pods carry a sidecar.",
  },
} as const satisfies Record<string, ProblemRow>;

export type ProblemReason = keyof typeof PROBLEMS;

export interface Problem {
  readonly policy: PolicyRef;
  readonly reason: ProblemReason;
  readonly severity: Severity;
  /** `spec.operations.rules[1].path`; "" where the message names the fields itself. */
  readonly path: string;
  /** A sentence without a period; does not repeat the path. */
  readonly message: string;
}

export function problem(
  policy: PolicyRef,
  reason: ProblemReason,
  path: string,
  message: string,
): Problem {
  return { policy, reason, severity: PROBLEMS[reason].severity, path, message };
}

/** `spec.operations.rules[1].path: …`: what the condition, the log and the closed layer say. */
export function problemText({ path, message }: Problem): string {
  return path === "" ? message : `${path}: ${message}`;
}

export function compareProblems(a: Problem, b: Problem): number {
  return compareText(sortKey(a), sortKey(b));
}

/** By code unit: the same order on every machine, whatever its locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function sortKey({ policy, severity, path, reason, message }: Problem): string {
  return [policyId(policy), severity, path, reason, message].join("\n");
}
