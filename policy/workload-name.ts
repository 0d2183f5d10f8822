/**
 * Which pods are one workload: those of a namespace whose labels are the same, less the labels by which
 * Kubernetes tells the pods of one template (or one rollout) apart. Sidecar and controller derive the name
 * independently and must agree: changing anything here is a protocol change.
 */
import { canonicalJson, sha256Hex } from "./encode.ts";
import type { Labels } from "./resources.ts";

const PER_POD: ReadonlySet<string> = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "pod-template-generation",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "controller-uid",
  "job-name",
]);

/** Whole families: those of jobs, and our own (they steer the sidecar and never the policy). */
const PER_POD_PREFIXES = ["batch.kubernetes.io/", "postern.dev/"];

/** In order: the first that a pod has gives the readable part of the name. */
const NAME_LABELS = ["app.kubernetes.io/name", "app", "k8s-app"];
const MAX_READABLE = 40;

/** Sorted by key; what selectors are matched against. */
export function workloadLabels(podLabels: Labels): Labels {
  return Object.fromEntries(
    Object.entries(podLabels)
      .filter(([key]) => !PER_POD.has(key) && !PER_POD_PREFIXES.some((x) => key.startsWith(x)))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** `<readable>-<8 hex digits>`, a DNS label without dots: also a token of a NATS subject. */
export function workloadName(labels: Labels): string {
  const named = NAME_LABELS.map((key) => labels[key]).find(
    (value) => value !== undefined && value !== "",
  );
  const readable = dnsSafe(named ?? "");
  const digest = sha256Hex(canonicalJson(workloadLabels(labels))).slice(0, 8);
  return `${readable === "" ? "workload" : readable}-${digest}`;
}

function dnsSafe(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_READABLE)
    .replaceAll(/^-+|-+$/g, "");
}
