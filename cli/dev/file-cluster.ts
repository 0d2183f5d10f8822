/**
 * A policy folder as the controller's cluster: what the API server is in production. It also does what admission
 * does there: a save that holds a mistake changes nothing and is told, with the field; the policies before it
 * stay. The generation of a policy grows when its spec changes, as in the API server.
 */
import { statSync } from "node:fs";
import type { Cluster, ClusterEvent, Snapshot } from "../../controller/cluster.ts";
import { createTicks } from "../../controller/ticks.ts";
import { canonicalJson } from "../../policy/encode.ts";
import { policyId, policyRef } from "../../policy/policy-id.ts";
import type { Policy, Workload } from "../../policy/resources.ts";
import type { PolicyStatus } from "../../policy/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import { watchPaths } from "../../sidecar/bundle/watch-paths.ts";
import { readFiles } from "../files/documents.ts";
import type { Material } from "../files/material.ts";
import { readPolicies } from "../files/policies.ts";
import { type FileProblem, hasErrors } from "../files/problem.ts";

export interface FileClusterOptions {
  readonly folder: string;
  readonly workload: Workload;
  readonly clock: Clock;
  readonly log: Log;
  readonly onLoaded: (loaded: FolderLoaded) => void;
  readonly onStatus: (policy: Pick<Policy, "kind" | "metadata">, status: PolicyStatus) => void;
  readonly onEvent: (event: ClusterEvent) => void;
}

export interface FolderLoaded {
  /** `refused`: nothing changed. */
  readonly kind: "taken" | "unchanged" | "refused";
  readonly policies: readonly Policy[];
  readonly problems: readonly FileProblem[];
  /** Unix milliseconds: when the change was noticed. */
  readonly atMs: number;
}

/** Editors write in several steps: what happens within this time is one change. */
const SETTLE_MS = 30;

interface Current {
  readonly policies: readonly Policy[];
  readonly material: ReadonlyMap<string, Material>;
}

export function openFileCluster(options: FileClusterOptions): Cluster {
  const { folder, workload, clock } = options;
  const ticks = createTicks();
  const closing = new AbortController();
  const statuses = new Map<string, PolicyStatus>();
  let current: Current = { policies: [], material: new Map() };
  let text = "";

  const look = (): void => {
    const atMs = clock.now();
    const read = readFiles([folder], () => "");
    const files = readPolicies(read);
    if (hasErrors(files.problems)) {
      const { problems } = files;
      // One save is several events; saving a mistake again is told again.
      const wrong = JSON.stringify([problems, read.files.map(savedAt)]);
      if (wrong === text) return;
      text = wrong;
      options.onLoaded({ kind: "refused", policies: current.policies, problems, atMs });
      return;
    }
    const policies = files.policies.map(({ policy }) => generationOf(policy, current.policies));
    const next = canonicalJson({ policies, material: Object.fromEntries(files.material) });
    const isSame = next === text;
    text = next;
    current = { policies, material: files.material };
    const known = new Set(policies.map((policy) => policyId(policyRef(policy))));
    for (const id of statuses.keys()) if (!known.has(id)) statuses.delete(id);
    const kind = isSame ? "unchanged" : "taken";
    options.onLoaded({ kind, policies, problems: files.problems, atMs });
    if (!isSame) ticks.tick();
  };

  const { signal } = closing;
  const changes = watchPaths([folder], { clock, log: options.log, signal });
  look();
  const following = (async () => {
    for await (const _ of changes) {
      await clock.sleep(SETTLE_MS, signal).catch(() => undefined);
      if (!signal.aborted) look();
    }
  })();

  return {
    synced: async () => undefined,
    snapshot: (): Snapshot => ({
      policies: current.policies,
      unreadable: [],
      namespaces: [{ name: workload.namespace, labels: {} }],
      // Named like the sample's app, so that a policy may also refer to it by `targetRefs`.
      services: Object.values(workload.labels).map((name) => ({
        namespace: workload.namespace,
        name,
        selector: workload.labels,
      })),
      workloads: [workload],
      material: current.material,
      statuses,
    }),
    changes: (signal) => ticks.each(signal),
    writeStatus: async (policy, status) => {
      statuses.set(policyId(policyRef(policy)), status);
      options.onStatus(policy, status);
    },
    emit: options.onEvent,
    close: async () => {
      closing.abort();
      await following;
    },
  };
}

function savedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The very object from before when nothing changed, so that compiling it costs nothing. */
function generationOf(policy: Policy, previous: readonly Policy[]): Policy {
  const id = policyId(policyRef(policy));
  const before = previous.find((other) => policyId(policyRef(other)) === id);
  if (before === undefined) return policy;
  if (canonicalJson(before.spec) === canonicalJson(policy.spec)) return before;
  const generation = before.metadata.generation + 1;
  return { ...policy, metadata: { ...policy.metadata, generation } } as Policy;
}
