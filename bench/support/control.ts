/** What a sidecar needs from its control plane, without a cluster: a bus, and bundles that are signed and published. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSigner, generateSigningJwk } from "../../controller/sign.ts";
import type { WorkloadRef } from "../../policy/bundle.ts";
import { bundleKey } from "../../policy/contract.ts";
import { canonicalJson, sealBundle } from "../../policy/encode.ts";
import { connectNats } from "../../runtime/bus/nats.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { startNatsServer } from "../../test/support/nats-server.ts";
import { freePort } from "../../test/support/process.ts";
import { waitFor } from "../../test/support/wait.ts";
import { compiledContent } from "./bundle.ts";
import type { OrdersSpec } from "./bundle.ts";
import { startDaemon } from "./daemon.ts";
import type { Daemon } from "./daemon.ts";

const ROOT = join(import.meta.dirname, "..", "..");

export interface Control extends AsyncDisposable {
  publish(workload: WorkloadRef, spec: OrdersSpec, revision: number): Promise<void>;
  /** The built sidecar of a workload, as a process; it may not listen yet. */
  startSidecar(workload: WorkloadRef, upstreamPort: number): Promise<SidecarProcess>;
}

export interface SidecarProcess extends Daemon {
  readonly port: number;
}

export async function openControl(): Promise<Control> {
  await using opening = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const nats = opening.use(await startNatsServer());
  const signer = createSigner(generateSigningJwk());
  const keysFile = join(folder, "keys.json");
  writeFileSync(keysFile, JSON.stringify(signer.publicJwks));
  const bus = opening.use(
    await connectNats({
      servers: [nats.url],
      name: "bench",
      clock: systemClock,
      log: silentLog,
      signal: new AbortController().signal,
      ensureBuckets: true,
    }),
  );
  await waitFor("the bus is connected", () => bus.state === "connected");
  const opened = opening.move();
  return {
    async publish(workload, spec, revision) {
      const content = compiledContent(workload, spec);
      const sealed = sealBundle(content, { revision, issuedAtMs: Date.now() });
      await bus.bundles.put(bundleKey(workload), signer.sign(Buffer.from(canonicalJson(sealed))));
    },
    async startSidecar(workload, upstreamPort) {
      const port = await freePort();
      const daemon = startDaemon(process.execPath, [join(ROOT, "dist", "sidecar.js")], {
        POSTERN_UPSTREAM_URL: `http://127.0.0.1:${upstreamPort}`,
        POSTERN_LISTEN: `127.0.0.1:${port}`,
        POSTERN_ADMIN_LISTEN: "127.0.0.1:0",
        POSTERN_NATS_URL: nats.url,
        POSTERN_NAMESPACE: workload.namespace,
        POSTERN_WORKLOAD: workload.name,
        POSTERN_POD: `${workload.name}-0`,
        POSTERN_BUNDLE_KEYS_FILE: keysFile,
        POSTERN_STATE_DIR: mkdtempSync(join(folder, "state-")),
        POSTERN_LOG_LEVEL: "info",
      });
      return { ...daemon, port };
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
