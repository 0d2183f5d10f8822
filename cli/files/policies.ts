/**
 * Documents → policies and what they refer to. Every mistake has its place in the file. A document that is not
 * ours (a Deployment beside the policy) is passed over; one that looks as if it should be ours never is.
 */
import { API_VERSION, GROUP, KINDS } from "../../policy/api/kinds.ts";
import { policyId, policyRef } from "../../policy/policy-id.ts";
import { type PolicyReading, readPolicy } from "../../policy/read-policy.ts";
import type { Policy, UnreadablePolicy } from "../../policy/resources.ts";
import { closest } from "../../policy/schema/closest.ts";
import { isObject, issueText } from "../../policy/schema/validate.ts";
import type { FileDocument, Position, ReadFiles } from "./documents.ts";
import { type Material, type MaterialReading, readMaterial } from "./material.ts";
import type { FileProblem } from "./problem.ts";
import { suspicions } from "./suspicions.ts";

export interface PlacedPolicy {
  readonly policy: Policy;
  readonly file: string;
  readonly positionOf: (path: string) => Position;
}

export interface PolicyFiles {
  readonly policies: readonly PlacedPolicy[];
  /** Those that say which policy they are, and not validly what it asks. */
  readonly unreadable: readonly UnreadablePolicy[];
  /** Secrets and ConfigMaps of the files, by `keySourceId()` of each of their keys. */
  readonly material: ReadonlyMap<string, Material>;
  /** In the order of the files. */
  readonly problems: readonly FileProblem[];
}

/** Where objects live that do not say it, as kubectl has it. */
export const DEFAULT_NAMESPACE = "default";

export function readPolicies(read: ReadFiles): PolicyFiles {
  const policies: PlacedPolicy[] = [];
  const unreadable: UnreadablePolicy[] = [];
  const material = new Map<string, Material>();
  const problems: FileProblem[] = [...read.problems];
  const seen = new Map<string, string>();

  for (const document of read.documents.flatMap(items)) {
    const fail = failAt(document, problems);
    if (!isObject(document.value)) {
      fail("document.kind", "", "the document is not an object: a policy begins with apiVersion");
      continue;
    }
    const kind = kindOf(document.value);
    if (kind.is === "foreign") continue;
    if (kind.is === "wrong") {
      fail("document.kind", kind.path, kind.message);
      continue;
    }
    const reading: PolicyReading | MaterialReading =
      kind.is === "policy"
        ? readPolicy(document.value, { defaultNamespace: DEFAULT_NAMESPACE })
        : readMaterial(document.value, DEFAULT_NAMESPACE);
    if (reading.kind === "invalid") {
      for (const issue of reading.issues) fail("policy.invalid", issue.path, issueText(issue));
      if (reading.unreadable !== undefined) unreadable.push(reading.unreadable);
      continue;
    }
    const id = reading.kind === "policy" ? policyId(policyRef(reading.policy)) : reading.id;
    const other = seen.get(id);
    const { line } = document.positionOf("metadata.name");
    if (other !== undefined) {
      const message = `${id} stands in ${other} already: remove one of them`;
      fail("document.duplicate", "metadata.name", message);
      continue;
    }
    seen.set(id, `${document.file}:${line}`);
    if (reading.kind === "policy") {
      const { file, positionOf } = document;
      policies.push({ policy: reading.policy, file, positionOf });
      for (const suspicion of suspicions(reading.policy)) {
        fail("policy.suspicious", suspicion.path, `${suspicion.path}: ${suspicion.message}`);
      }
    } else {
      for (const [source, value] of reading.material) material.set(source, value);
    }
  }
  return { policies, unreadable, material, problems };
}

/** `kubectl get … -o yaml` prints a List. */
function items(document: FileDocument): FileDocument[] {
  const { value } = document;
  if (!isObject(value) || typeof value["kind"] !== "string" || !value["kind"].endsWith("List")) {
    return [document];
  }
  const list = value["items"];
  if (!Array.isArray(list)) return [document];
  return list.map((item: unknown, index) => ({
    file: document.file,
    value: item,
    positionOf: (path) => document.positionOf(`items[${index}].${path}`),
  }));
}

type Kind =
  | { readonly is: "policy" | "material" | "foreign" }
  | { readonly is: "wrong"; readonly path: string; readonly message: string };

function kindOf(value: Readonly<Record<string, unknown>>): Kind {
  const { apiVersion, kind } = value;
  const ours = KINDS.map((known) => known.kind);
  const supported = `${ours.map((name) => JSON.stringify(name)).join(" and ")} of ${API_VERSION}`;
  if (typeof kind !== "string" || kind === "") {
    const message = `kind: Required value: nothing says what this document is; supported are ${supported}`;
    return { is: "wrong", path: "kind", message };
  }
  if (ours.some((name) => name === kind)) {
    if (apiVersion === API_VERSION) return { is: "policy" };
    const found = typeof apiVersion === "string" ? JSON.stringify(apiVersion) : "nothing";
    const message = `apiVersion: Unsupported value: found ${found}, ${JSON.stringify(API_VERSION)} is required`;
    return { is: "wrong", path: "apiVersion", message };
  }
  if (apiVersion === "v1" && (kind === "Secret" || kind === "ConfigMap")) return { is: "material" };
  const near = closest(kind, ours);
  const isOurGroup = typeof apiVersion === "string" && apiVersion.startsWith(`${GROUP}/`);
  if (isOurGroup || typeof apiVersion !== "string" || near !== undefined) {
    const hint = near === undefined ? `; supported are ${supported}` : `; did you mean "${near}"?`;
    const message = `kind: Unsupported value: ${JSON.stringify(kind.slice(0, 80))}${hint}`;
    return { is: "wrong", path: "kind", message };
  }
  return { is: "foreign" };
}

function failAt(document: FileDocument, problems: FileProblem[]) {
  return (code: FileProblem["code"], path: string, message: string): void => {
    const { line, column } = document.positionOf(path);
    const severity = code === "policy.suspicious" ? "warning" : "error";
    problems.push({ file: document.file, line, column, severity, code, message });
  };
}
