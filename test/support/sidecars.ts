/** Real sidecars in this process, each with a NATS connection of its own, as a pod's container would have. */
import { readTrustedKeys } from "../../sidecar/bundle/trusted-keys.ts";
import { startSidecar } from "../../sidecar/sidecar.ts";
import type { Sidecar } from "../../sidecar/sidecar.ts";
import { workloadLabels, workloadName } from "../../policy/workload-name.ts";
import type { Labels } from "../../policy/resources.ts";
import type { Bus } from "../../runtime/bus/bus.ts";
import { connectNats } from "../../runtime/bus/nats.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";

export interface TestSidecar {
  readonly sidecar: Sidecar;
  readonly url: string;
  /** As when its container is killed: it says nothing more, and takes no more requests. */
  vanish(): Promise<void>;
  close(): Promise<void>;
}

export async function startTestSidecar(options: {
  readonly namespace: string;
  readonly pod: string;
  readonly labels: Labels;
  readonly natsUrl: string;
  /** As the ConfigMap has them. */
  readonly publicJwks: unknown;
  readonly upstreamPort: number;
}): Promise<TestSidecar> {
  const ending = new AbortController();
  const bus: Bus = await connectNats({
    servers: [options.natsUrl],
    name: `postern-sidecar ${options.namespace}/${options.pod}`,
    clock: systemClock,
    log: silentLog,
    signal: ending.signal,
    ensureBuckets: false,
  });
  const sidecar = await startSidecar({
    workload: {
      namespace: options.namespace,
      name: workloadName(workloadLabels(options.labels)),
    },
    pod: options.pod,
    version: "test",
    feed: { kind: "bus", bus, keys: await readTrustedKeys(options.publicJwks) },
    listen: { host: "127.0.0.1", port: 0 },
    upstream: { host: "127.0.0.1", port: options.upstreamPort },
    clock: systemClock,
    log: silentLog,
    record: () => undefined,
  });
  return {
    sidecar,
    url: `http://${sidecar.address.host}:${sidecar.address.port}`,
    async vanish() {
      // The bus goes first, so that there is no last report.
      await bus.close();
      await sidecar.close();
    },
    async close() {
      await sidecar.close();
      await bus.close();
    },
  };
}
