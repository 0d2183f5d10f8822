/**
 * The cluster as the controller sees it: policies, namespaces, services, pods with a sidecar, and the Secrets
 * and ConfigMaps that policies refer to, all followed by reflectors. A snapshot is taken from their copies and
 * asks the API server nothing, so it is as good as the last word that we had, however long that is ago.
 */
import { API_VERSION, GROUP, KINDS, VERSION } from "../../policy/api/kinds.ts";
import type { Kind } from "../../policy/api/kinds.ts";
import { keySources } from "../../policy/key-sources.ts";
import { policyId } from "../../policy/policy-id.ts";
import type {
  Namespace,
  Policy,
  Service,
  UnreadablePolicy,
  Workload,
} from "../../policy/resources.ts";
import type { PolicyStatus } from "../../policy/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import type { Cluster, Snapshot } from "../cluster.ts";
import { createTicks } from "../ticks.ts";
import type { KubeClient } from "./client.ts";
import { createEvents } from "./events.ts";
import { createMaterials } from "./materials.ts";
import {
  keepNamespace,
  keepPod,
  keepPolicy,
  keepService,
  METADATA_ONLY,
  POD_QUERY,
  sameJson,
  workloadsOf,
} from "./objects.ts";
import type { KeptPod, KeptPolicy } from "./objects.ts";
import { createReflector } from "./reflector.ts";
import type { Reflector, ReflectorOptions } from "./reflector.ts";
import { createStatusWriter } from "./status-writer.ts";

export interface KubeCluster extends Cluster {
  /** The longest time for which a watch has been silent without being known to be broken. */
  silentMs(): number;
  /** What cannot be followed at present, by list. */
  problems(): ReadonlyMap<string, string>;
  readonly counts: { readonly statusWrites: number; readonly eventsDropped: number };
}

export interface KubeClusterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}

export function openKubeCluster({ client, clock, log }: KubeClusterOptions): KubeCluster {
  const closing = new AbortController();
  const ticks = createTicks();
  const writer = createStatusWriter(client, clock);
  const events = createEvents(client, clock, log);
  const materials = createMaterials({ client, clock, log, onChange: () => ticks.tick() });

  const follow = <T>(
    options: Omit<ReflectorOptions<T>, "client" | "clock" | "log" | "onChange"> & {
      readonly onChange?: () => void;
    },
  ): Reflector<T> =>
    createReflector<T>({ client, clock, log, onChange: () => ticks.tick(), ...options });

  const policies = KINDS.map((kind) =>
    follow<KeptPolicy>({
      name: kind.plural,
      path: `/apis/${API_VERSION}/${kind.plural}`,
      transform: (object, before) => keepPolicy(kind, object, before),
      // Our own writes of status come back through the watch: they are no news.
      same: (a, b) => a.generation === b.generation && a.uid === b.uid,
      onChange: () => {
        materials.follow(keySources(readable()));
        ticks.tick();
      },
      missing: `the CustomResourceDefinition ${kind.plural}.${GROUP} (${VERSION}) is not installed: apply crds/`,
    }),
  );
  const namespaces = follow<Namespace>({
    name: "namespaces",
    path: "/api/v1/namespaces",
    accept: METADATA_ONLY,
    transform: keepNamespace,
    same: sameJson,
  });
  const services = follow<Service>({
    name: "services",
    path: "/api/v1/services",
    transform: keepService,
    same: sameJson,
  });
  const pods = follow<KeptPod>({
    name: "pods",
    path: "/api/v1/pods",
    query: POD_QUERY,
    accept: METADATA_ONLY,
    transform: keepPod,
    same: sameJson,
    onChange: () => {
      podsChanged = true;
      ticks.tick();
    },
  });
  const reflectors: readonly Reflector<unknown>[] = [...policies, namespaces, services, pods];
  const running = [
    ...reflectors.map((reflector) => reflector.run(closing.signal)),
    events.run(closing.signal),
  ];

  let lastWorkloads: readonly Workload[] = [];
  let podsChanged = true;
  function workloads(): readonly Workload[] {
    if (podsChanged) lastWorkloads = workloadsOf(pods.items.values(), lastWorkloads);
    podsChanged = false;
    return lastWorkloads;
  }

  function kept(): KeptPolicy[] {
    return policies.flatMap((reflector) => [...reflector.items.values()]);
  }

  function readable(): Policy[] {
    return kept().flatMap(({ policy }) => (policy.kind === "policy" ? policy.policy : []));
  }

  function find(kind: Policy["kind"], namespace: string | undefined, name: string) {
    const reflector = policies[KINDS.findIndex((known) => known.kind === kind)];
    return reflector?.items.get(namespace === undefined ? name : `${namespace}/${name}`);
  }

  return {
    async synced(signal) {
      const done = (): boolean => reflectors.every((one) => one.synced) && materials.synced;
      const changes = ticks.each(signal);
      if (done()) return;
      for await (const _ of changes) if (done()) return;
      signal.throwIfAborted();
    },
    snapshot(): Snapshot {
      const unreadable: UnreadablePolicy[] = [];
      const statuses = new Map<string, PolicyStatus>();
      for (const { policy, status } of kept()) {
        if (policy.kind === "unreadable") unreadable.push(policy.unreadable);
        const { kind, metadata } = policy.kind === "policy" ? policy.policy : policy.unreadable;
        if (status !== undefined) statuses.set(policyId({ kind, ...metadata }), status);
      }
      return {
        policies: readable(),
        unreadable,
        namespaces: [...namespaces.items.values()],
        services: [...services.items.values()],
        workloads: workloads(),
        material: materials.current(),
        statuses,
      };
    },
    changes: (signal) => ticks.each(signal),
    writeStatus: (policy, status, signal) => writer.write(pathOf(policy), status, signal),
    emit(event) {
      const uid = find(event.policy, event.namespace, event.name)?.uid;
      events.emit(event, { apiVersion: API_VERSION, ...(uid === undefined ? {} : { uid }) });
    },
    silentMs() {
      const silent = [...reflectors, ...materials.reflectors]
        .filter(({ problem }) => problem === undefined)
        .map(({ heardAtMs }) => clock.now() - heardAtMs);
      return Math.max(0, ...silent);
    },
    problems() {
      const found = new Map<string, string>();
      for (const { name, problem } of [...reflectors, ...materials.reflectors]) {
        if (problem !== undefined) found.set(name, problem);
      }
      return found;
    },
    get counts() {
      return { statusWrites: writer.writes, eventsDropped: events.dropped };
    },
    async close() {
      closing.abort();
      await materials.close();
      await Promise.all(running);
      client.close();
    },
  };
}

function pathOf({ kind, metadata }: Pick<Policy, "kind" | "metadata">): string {
  const { plural } = KINDS.find((known) => known.kind === kind) as Kind;
  return "namespace" in metadata
    ? `/apis/${API_VERSION}/namespaces/${metadata.namespace}/${plural}/${metadata.name}`
    : `/apis/${API_VERSION}/${plural}/${metadata.name}`;
}
