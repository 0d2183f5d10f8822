/**
 * Many sidecars in one process, each with its own NATS connection, bundle store and listener: the load of a
 * large workload on a small machine. Started by propagation.ts; tells it of every swap, so that no polling
 * competes with what is measured.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connectNats } from "../runtime/bus/nats.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { readTrustedKeysFile } from "../sidecar/bundle/trusted-keys.ts";
import { startSidecar } from "../sidecar/sidecar.ts";

export interface FleetOrder {
  readonly namespace: string;
  readonly workload: string;
  readonly pods: readonly string[];
  readonly natsUrl: string;
  readonly keysFile: string;
}

export type FleetNews =
  | { readonly kind: "serving"; readonly pod: string; readonly port: number }
  | { readonly kind: "swapped"; readonly pod: string };

const order = JSON.parse(process.argv[2] ?? "") as FleetOrder;
const upstream = createServer((_request, answer) => answer.end("ok"));
await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
const upstreamPort = (upstream.address() as AddressInfo).port;
const keys = await readTrustedKeysFile(order.keysFile);
const until = new AbortController();

for (const pod of order.pods) {
  const bus = await connectNats({
    servers: [order.natsUrl],
    name: pod,
    clock: systemClock,
    log: silentLog,
    signal: until.signal,
    ensureBuckets: false,
  });
  const sidecar = await startSidecar({
    workload: { namespace: order.namespace, name: order.workload },
    pod,
    version: "bench",
    feed: { kind: "bus", bus, keys },
    listen: { host: "127.0.0.1", port: 0 },
    upstream: { host: "127.0.0.1", port: upstreamPort },
    clock: systemClock,
    log: silentLog,
  });
  sidecar.store.onChange(() => tell({ kind: "swapped", pod }));
  tell({ kind: "serving", pod, port: sidecar.address.port });
}
process.on("disconnect", () => process.exit(0));

function tell(news: FleetNews): void {
  process.send?.(news);
}
