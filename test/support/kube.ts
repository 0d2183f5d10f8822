/** What scenarios put into the API server, and what they ask of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Controller } from "../../controller/controller.ts";
import { startController } from "../../controller/controller.ts";
import { createKubeClient, loadKubeConfig } from "../../controller/kube/client.ts";
import { openKubeCluster } from "../../controller/kube/kube-cluster.ts";
import { ensureSigner } from "../../controller/kube/signing-secret.ts";
import { clusterRole, namespaceRole } from "../../controller/rbac.ts";
import type { Signer } from "../../controller/sign.ts";
import type { Labels } from "../../policy/resources.ts";
import type { Condition, ConditionType, PolicyStatus } from "../../policy/status.ts";
import { connectNats } from "../../runtime/bus/nats.ts";
import type { Bus } from "../../runtime/bus/bus.ts";
import { systemClock } from "../../runtime/clock.ts";
import { createLog } from "../../runtime/log.ts";
import type { Log } from "../../runtime/log.ts";
import { CONTROLLER_USER } from "./api-server.ts";
import type { ApiServer } from "./api-server.ts";
import { waitFor } from "./wait.ts";

export const ROOT = join(import.meta.dirname, "..", "..");
export const SYSTEM_NAMESPACE = "postern-system";

/** CRDs, the controller's namespace, and the rights that it ships with, and no others. */
export async function installPostern(api: ApiServer): Promise<void> {
  await api.must(["apply", "-f", join(ROOT, "crds")]);
  for (const kind of ["apisecuritypolicies", "clusterapisecuritypolicies"]) {
    await api.must(["wait", "--for=condition=Established", `crd/${kind}.postern.dev`]);
  }
  await apply(api, { apiVersion: "v1", kind: "Namespace", metadata: { name: SYSTEM_NAMESPACE } });
  const user = { kind: "User", name: CONTROLLER_USER, apiGroup: "rbac.authorization.k8s.io" };
  const group = "rbac.authorization.k8s.io";
  await apply(
    api,
    clusterRole("postern-controller"),
    {
      apiVersion: `${group}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: "postern-controller" },
      roleRef: { apiGroup: group, kind: "ClusterRole", name: "postern-controller" },
      subjects: [user],
    },
    namespaceRole("postern-controller", SYSTEM_NAMESPACE),
    {
      apiVersion: `${group}/v1`,
      kind: "RoleBinding",
      metadata: { name: "postern-controller", namespace: SYSTEM_NAMESPACE },
      roleRef: { apiGroup: group, kind: "Role", name: "postern-controller" },
      subjects: [user],
    },
  );
}

export async function apply(api: ApiServer, ...objects: readonly object[]): Promise<void> {
  const list = { apiVersion: "v1", kind: "List", items: objects };
  await api.must(["apply", "-f", "-"], JSON.stringify(list));
}

export async function createNamespace(api: ApiServer, name: string): Promise<void> {
  await apply(api, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
}

/** A pod that runs and carries a sidecar, as far as the API server can tell. */
export async function createPod(
  api: ApiServer,
  pod: { readonly namespace: string; readonly name: string; readonly labels: Labels },
): Promise<void> {
  await apply(api, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      labels: { ...pod.labels, "postern.dev/sidecar": "enabled" },
    },
    spec: {
      automountServiceAccountToken: false,
      containers: [{ name: "app", image: "registry.invalid/app" }],
    },
  });
  await setPhase(api, pod, "Running");
}

export async function setPhase(
  api: ApiServer,
  pod: { readonly namespace: string; readonly name: string },
  phase: string,
): Promise<void> {
  await api.must([
    "patch",
    "pod",
    pod.name,
    `--namespace=${pod.namespace}`,
    "--subresource=status",
    "--type=merge",
    `--patch=${JSON.stringify({ status: { phase } })}`,
  ]);
}

export interface RunningController extends AsyncDisposable {
  readonly controller: Controller;
  readonly signer: Signer;
  readonly bus: Bus;
  close(): Promise<void>;
}

/** The controller with its real API server and NATS, in this process, with the rights that it ships with. */
export async function startTestController(
  api: ApiServer,
  natsUrl: string,
  options: {
    readonly keys?: Parameters<typeof startController>[0]["keys"];
    readonly log?: Log;
  } = {},
): Promise<RunningController> {
  const signal = new AbortController().signal;
  const log = options.log ?? errorsOnly();
  const client = createKubeClient(loadKubeConfig(api.controllerKubeconfig));
  const signer = await ensureSigner(client, SYSTEM_NAMESPACE, log, signal);
  const bus = await connectNats({
    servers: [natsUrl],
    name: "postern-controller",
    clock: systemClock,
    log,
    signal,
    ensureBuckets: true,
  });
  const controller = await startController({
    cluster: openKubeCluster({ client, clock: systemClock, log }),
    bus,
    signer,
    clock: systemClock,
    log,
    ...(options.keys === undefined ? {} : { keys: options.keys }),
  });
  const close = async (): Promise<void> => {
    await controller.close();
    await bus.close();
  };
  return { controller, signer, bus, close, [Symbol.asyncDispose]: close };
}

/** Errors fail nothing by themselves, but nobody should have to guess why a test failed. */
export function errorsOnly(): Log {
  return createLog({
    level: "error",
    clock: systemClock,
    write: (line) => void process.stderr.write(line),
  });
}

export async function statusOf(
  api: ApiServer,
  namespace: string,
  name: string,
): Promise<PolicyStatus | undefined> {
  return (await readObject(api, namespace, name)).status;
}

interface ReadPolicyObject {
  readonly metadata: { readonly generation: number };
  readonly status?: PolicyStatus;
}

async function readObject(
  api: ApiServer,
  namespace: string,
  name: string,
): Promise<ReadPolicyObject> {
  const text = await api.must(["get", "asp", name, `--namespace=${namespace}`, "-o", "json"]);
  return JSON.parse(text) as ReadPolicyObject;
}

export function conditionOf(
  status: PolicyStatus | undefined,
  type: ConditionType,
): Condition | undefined {
  return status?.conditions.find((condition) => condition.type === type);
}

/**
 * Waits until the status of the policy as it is now, and not as it was before the last edit, satisfies `holds`;
 * on failure, tells the last status.
 */
export async function waitForStatus(
  api: ApiServer,
  policy: { readonly namespace: string; readonly name: string },
  what: string,
  holds: (status: PolicyStatus) => boolean,
  withinMs = 15_000,
): Promise<PolicyStatus> {
  let last: PolicyStatus | undefined;
  try {
    return await waitFor(
      what,
      async () => {
        const object = await readObject(api, policy.namespace, policy.name);
        last = object.status;
        if (last?.observedGeneration !== object.metadata.generation) return undefined;
        return holds(last) ? last : undefined;
      },
      { withinMs, everyMs: 100 },
    );
  } catch (error) {
    throw new Error(`${what}; the last status was ${JSON.stringify(last)}`, { cause: error });
  }
}

export function readText(...path: readonly string[]): string {
  return readFileSync(join(ROOT, ...path), "utf8");
}
