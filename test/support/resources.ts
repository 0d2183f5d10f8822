/** YAML documents as a cluster would hold them → the input of `compile()`, without a cluster. For golden files. */
import { parseAllDocuments } from "yaml";
import { bundleKey } from "../../policy/contract.ts";
import { keySourceId, keySources } from "../../policy/key-sources.ts";
import { readJwks } from "../../policy/public-jwk.ts";
import { readPolicy } from "../../policy/read-policy.ts";
import type {
  KeyResolution,
  Labels,
  Policy,
  Resources,
  UnreadablePolicy,
  Workload,
} from "../../policy/resources.ts";
import { workloadLabels, workloadName } from "../../policy/workload-name.ts";

export interface Document {
  readonly kind: string;
  readonly metadata?: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Labels;
  };
  readonly spec?: { readonly selector?: Labels };
  readonly data?: Labels;
  readonly stringData?: Labels;
  readonly source?: string;
  readonly keys?: unknown;
  readonly unavailable?: string;
}

export function readDocuments(text: string): Document[] {
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS() as Document;
  });
}

export function resourcesFrom(documents: readonly Document[]): Resources {
  const policies: Policy[] = [];
  const unreadable: UnreadablePolicy[] = [];
  for (const document of ofKind(documents, "ApiSecurityPolicy", "ClusterApiSecurityPolicy")) {
    const reading = readPolicy(document);
    if (reading.kind === "policy") policies.push(reading.policy);
    else if (reading.unreadable !== undefined) unreadable.push(reading.unreadable);
    else throw new Error(`Cannot use the document: ${JSON.stringify(reading.issues)}`);
  }
  return {
    policies,
    unreadable,
    namespaces: ofKind(documents, "Namespace").map(({ metadata }) => ({
      name: metadata?.name ?? "",
      labels: metadata?.labels ?? {},
    })),
    services: ofKind(documents, "Service").map(({ metadata, spec }) => ({
      namespace: metadata?.namespace ?? "",
      name: metadata?.name ?? "",
      selector: spec?.selector ?? {},
    })),
    workloads: workloadsFrom(ofKind(documents, "Pod")),
    keys: keysFrom(documents, policies),
  };
}

function workloadsFrom(pods: readonly Document[]): Workload[] {
  const workloads = new Map<string, Workload>();
  for (const { metadata } of pods) {
    const labels = metadata?.labels ?? {};
    const ref = { namespace: metadata?.namespace ?? "", name: workloadName(labels) };
    const known = workloads.get(bundleKey(ref));
    workloads.set(bundleKey(ref), {
      ...ref,
      labels: workloadLabels(labels),
      pods: [...(known?.pods ?? []), metadata?.name ?? ""].sort(),
    });
  }
  return [...workloads.values()];
}

function keysFrom(documents: readonly Document[], policies: readonly Policy[]) {
  const keys = new Map<string, KeyResolution>();
  for (const { source = "", keys: list, unavailable } of ofKind(documents, "ResolvedKeys")) {
    keys.set(
      source,
      unavailable === undefined
        ? resolution({ keys: list })
        : { kind: "unavailable", reason: unavailable },
    );
  }
  for (const source of keySources(policies)) {
    if (source.kind !== "secret" && source.kind !== "configMap") continue;
    const kind = source.kind === "secret" ? "Secret" : "ConfigMap";
    const holder = ofKind(documents, kind).find(
      ({ metadata }) => metadata?.name === source.name && metadata.namespace === source.namespace,
    );
    const text = { ...holder?.data, ...holder?.stringData }[source.key];
    keys.set(
      keySourceId(source),
      text === undefined
        ? { kind: "unavailable", reason: `there is no ${kind} "${source.name}" with this key` }
        : resolution(text),
    );
  }
  return keys;
}

function resolution(jwks: unknown): KeyResolution {
  const reading = readJwks(jwks);
  return reading.kind === "keys"
    ? { kind: "known", jwks: reading.jwks }
    : { kind: "unavailable", reason: reading.message };
}

function ofKind(documents: readonly Document[], ...kinds: readonly string[]): Document[] {
  return documents.filter(({ kind }) => kinds.includes(kind));
}
