/**
 * Opens the controller of a cluster for this process: admin port first, so that probes are answered while the
 * rest waits for the API server and the bus, which it does for as long as it takes.
 */
import { readFileSync } from "node:fs";
import { openAdminServer } from "../runtime/admin-server.ts";
import { backoff } from "../runtime/backoff.ts";
import { connectNats } from "../runtime/bus/nats.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import { processMetrics } from "../runtime/process-metrics.ts";
import type { ControllerConfig } from "./config.ts";
import { startController } from "./controller.ts";
import type { Controller } from "./controller.ts";
import { createKubeClient, loadKubeConfig } from "./kube/client.ts";
import type { KubeClient } from "./kube/client.ts";
import { openKubeCluster } from "./kube/kube-cluster.ts";
import type { KubeCluster } from "./kube/kube-cluster.ts";
import { ensureSigner } from "./kube/signing-secret.ts";
import type { Signer } from "./sign.ts";

/** The server ends a watch after five minutes; one that is silent for much longer is stuck. */
const SILENT_WATCH_MS = 15 * 60_000;
const BACKOFF = { firstMs: 500, maxMs: 10_000 };

export async function openController(
  config: ControllerConfig,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  await using opening = new AsyncDisposableStack();
  let controller: Controller | undefined;
  let cluster: KubeCluster | undefined;
  const costs = opening.use(processMetrics());
  const admin = await openAdminServer({
    listen: config.admin,
    log,
    ready: () => [
      ...(controller?.notReady() ?? ["the signing key has not been read yet"]),
      ...clusterProblems(cluster),
    ],
    metrics: () => (controller?.metrics() ?? "") + costs.render(),
  });
  opening.use(admin);
  const client = createKubeClient(loadKubeConfig(config.kubeconfig));
  opening.defer(() => client.close());
  const bus = await connectNats({
    servers: config.natsServers,
    name: "postern-controller",
    ...(config.natsCredentials === undefined ? {} : { credentials: config.natsCredentials }),
    ...(config.natsTls === undefined ? {} : { tls: config.natsTls }),
    replicas: config.natsReplicas,
    clock,
    log,
    // Closed by us, after the controller.
    signal: new AbortController().signal,
    ensureBuckets: true,
  });
  opening.use(bus);
  const extraCa =
    config.keysCaFile === undefined ? {} : { extraCa: readFileSync(config.keysCaFile, "utf8") };
  const signer = await signerWhenever(client, config.namespace, clock, log, signal);
  cluster = openKubeCluster({ client, clock, log });
  controller = await startController({
    cluster,
    bus,
    signer,
    clock,
    log,
    keys: { refreshMs: config.keysRefreshMs, maxStaleMs: config.keysMaxStaleMs, ...extraCa },
  });
  opening.use(controller);
  log.info("Controller runs", {
    cluster: client.server,
    signingKey: signer.keyId,
    admin: `${admin.address.host}:${admin.address.port}`,
  });
  return opening.move();
}

/** The API server may come later than we do. */
async function signerWhenever(
  client: KubeClient,
  namespace: string,
  clock: Clock,
  log: Log,
  signal: AbortSignal,
): Promise<Signer> {
  for await (const _ of backoff({ ...BACKOFF, clock, signal })) {
    try {
      return await ensureSigner(client, namespace, log, signal);
    } catch (error) {
      // A broken key is for a human: starting with another one would take every sidecar by surprise.
      if (error instanceof TypeError) throw error;
      log.warn("Cannot read the signing key", { error: describe(error) });
    }
  }
  throw signal.reason as Error;
}

function clusterProblems(cluster: KubeCluster | undefined): string[] {
  if (cluster === undefined) return [];
  const reasons = [...cluster.problems()].map(([list, problem]) => `${list}: ${problem}`);
  const silentMs = cluster.silentMs();
  if (silentMs > SILENT_WATCH_MS) {
    reasons.push(
      `a watch of the API server has been silent for ${Math.round(silentMs / 60_000)} min`,
    );
  }
  return reasons;
}
