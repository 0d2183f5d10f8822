/**
 * An object from the API server or a file → a policy, or every reason why it is none. A policy that cannot be
 * read still closes what it may cover, so its name and, where possible, its target are kept.
 */
import type { Schema } from "./schema/schema.ts";
import { object, optional } from "./schema/schema.ts";
import { closest } from "./schema/closest.ts";
import { isObject, issueText, validate } from "./schema/validate.ts";
import type { Issue, Validation } from "./schema/validate.ts";
import { labelSelector, objectName, targetRefs } from "./api/common.ts";
import { API_VERSION, KINDS } from "./api/kinds.ts";
import type { Kind } from "./api/kinds.ts";
import type { Policy, PolicyTarget, UnreadablePolicy } from "./resources.ts";

export type { Issue } from "./schema/validate.ts";

export type PolicyReading =
  | { readonly kind: "policy"; readonly policy: Policy }
  | {
      readonly kind: "invalid";
      /** Absent when the object does not even say which policy it is. */
      readonly unreadable: UnreadablePolicy | undefined;
      /** Never empty. */
      readonly issues: readonly Issue[];
    };

interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly generation: number;
}

type Fields = Readonly<Record<string, unknown>>;

const TOP_LEVEL: readonly string[] = ["apiVersion", "kind", "metadata", "spec", "status"];

export function readPolicy(
  input: unknown,
  options: { readonly defaultNamespace?: string } = {},
): PolicyReading {
  if (!isObject(input)) {
    return invalid([{ path: "", message: "Invalid value: the document is not a policy object" }]);
  }
  const kind = KINDS.find((known) => known.kind === input["kind"]);
  if (kind === undefined || input["apiVersion"] !== API_VERSION) {
    return invalid(kindIssues(input, kind));
  }
  const issues: Issue[] = [];
  const metadata = readMetadata(kind, input["metadata"], options.defaultNamespace, issues);
  for (const key of Object.keys(input)) {
    if (!TOP_LEVEL.includes(key)) issues.push(unknownTopLevel(key));
  }
  const spec = readSpec(kind, input["spec"]);
  if (spec.kind === "invalid") issues.push(...spec.issues);
  if (metadata === undefined) return invalid(issues);
  if (spec.kind === "invalid" || issues.length > 0) {
    return invalid(issues, unreadable(kind, metadata, input["spec"], issues));
  }
  // The schema of the kind is the source of the type of its spec.
  const policy = { kind: kind.kind, metadata, spec: spec.value } as unknown as Policy;
  return { kind: "policy", policy };
}

function invalid(issues: readonly Issue[], unreadable?: UnreadablePolicy): PolicyReading {
  return { kind: "invalid", unreadable, issues };
}

function readSpec(kind: Kind, spec: unknown): Validation<unknown> {
  if (spec !== undefined) return validate(kind.spec, spec, "spec");
  return {
    kind: "invalid",
    issues: [{ path: "spec", message: "Required value: an object is missing" }],
  };
}

function unreadable(
  { kind }: Kind,
  metadata: Metadata,
  spec: unknown,
  issues: readonly Issue[],
): UnreadablePolicy {
  const target = readTarget(kind, spec);
  return {
    kind,
    metadata,
    ...(target === undefined ? {} : { target }),
    problems: issues.map(issueText),
  };
}

const targets: Readonly<Record<Kind["kind"], Schema<PolicyTarget>>> = {
  ApiSecurityPolicy: object({
    selector: optional(labelSelector),
    targetRefs: optional(targetRefs),
  }),
  ClusterApiSecurityPolicy: object({
    namespaceSelector: labelSelector,
    selector: optional(labelSelector),
    targetRefs: optional(targetRefs),
  }),
};

/** Undefined when the target itself is in doubt: absent, both, misspelt, or not of the schema. */
function readTarget(kind: Kind["kind"], spec: unknown): PolicyTarget | undefined {
  if (!isObject(spec)) return undefined;
  const { selector, targetRefs, namespaceSelector } = spec;
  if ((selector === undefined) === (targetRefs === undefined)) return undefined;
  const target = validate(
    targets[kind],
    {
      ...(selector === undefined ? {} : { selector }),
      ...(targetRefs === undefined ? {} : { targetRefs }),
      ...(namespaceSelector === undefined ? {} : { namespaceSelector }),
    },
    "spec",
  );
  return target.kind === "value" ? target.value : undefined;
}

function kindIssues(input: Fields, kind: Kind | undefined): Issue[] {
  const names = KINDS.map((known) => known.kind);
  const issues: Issue[] = [];
  if (input["apiVersion"] !== API_VERSION) {
    issues.push({
      path: "apiVersion",
      message: `Unsupported value: ${shown(input["apiVersion"])}: supported values: "${API_VERSION}"`,
    });
  }
  if (kind === undefined) {
    const given = input["kind"];
    const near = typeof given === "string" ? closest(given, names) : undefined;
    const hint = near === undefined ? "" : `; did you mean "${near}"?`;
    const supported = names.map((name) => JSON.stringify(name)).join(", ");
    issues.push({
      path: "kind",
      message: `Unsupported value: ${shown(given)}: supported values: ${supported}${hint}`,
    });
  }
  return issues;
}

/** Only what identifies the policy; labels, annotations and the API server's own fields are not ours to judge. */
function readMetadata(
  kind: Kind,
  input: unknown,
  defaultNamespace: string | undefined,
  issues: Issue[],
): Metadata | undefined {
  if (!isObject(input)) {
    issues.push({ path: "metadata", message: "Required value: an object is missing" });
    return undefined;
  }
  const name = readName(input["name"], "metadata.name", issues);
  const generation = input["generation"] ?? 1;
  if (!Number.isSafeInteger(generation)) {
    issues.push({
      path: "metadata.generation",
      message: `Invalid value: found ${shown(generation)}, an integer is required`,
    });
  }
  if (name === undefined || typeof generation !== "number") return undefined;
  if (kind.scope === "Cluster") {
    if (input["namespace"] !== undefined) {
      const message = `Invalid value: a ${kind.kind} has no namespace, remove this field`;
      issues.push({ path: "metadata.namespace", message });
    }
    return { name, generation };
  }
  const given = input["namespace"] ?? defaultNamespace;
  const namespace = readName(given, "metadata.namespace", issues);
  return namespace === undefined ? undefined : { name, namespace, generation };
}

function readName(value: unknown, path: string, issues: Issue[]): string | undefined {
  if (value === undefined) {
    issues.push({ path, message: "Required value: a string is missing" });
    return undefined;
  }
  const reading = validate(objectName, value, path);
  if (reading.kind === "value") return reading.value;
  issues.push(...reading.issues);
  return undefined;
}

function unknownTopLevel(key: string): Issue {
  const near = closest(key, TOP_LEVEL);
  const hint =
    near === undefined
      ? `; the fields here are ${TOP_LEVEL.join(", ")}`
      : `; did you mean "${near}"?`;
  return { path: key, message: `unknown field ${JSON.stringify(key.slice(0, 80))}${hint}` };
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  return value === undefined ? "nothing" : typeof value;
}
