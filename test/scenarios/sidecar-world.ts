/** A real nats-server, a real application, a real signer, and sidecars of one workload in this process. */
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSigner, generateSigningJwk } from "../../controller/sign.ts";
import type { Signer } from "../../controller/sign.ts";
import type { Bundle, BundleContent } from "../../policy/bundle.ts";
import { ACK_SUBJECTS, bundleKey } from "../../policy/contract.ts";
import { canonicalJson, sealBundle } from "../../policy/encode.ts";
import { readReport } from "../../policy/read-report.ts";
import type { SidecarReport } from "../../policy/report.ts";
import type { Bus } from "../../runtime/bus/bus.ts";
import { connectNats } from "../../runtime/bus/nats.ts";
import type { Clock } from "../../runtime/clock.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { readTrustedKeys } from "../../sidecar/bundle/trusted-keys.ts";
import { startSidecar } from "../../sidecar/sidecar.ts";
import type { Sidecar } from "../../sidecar/sidecar.ts";
import { layer, operations, rule } from "../support/bundles.ts";
import { startNatsServer } from "../support/nats-server.ts";
import type { NatsServer } from "../support/nats-server.ts";
import { recordingUpstream } from "../support/upstream.ts";
import type { RecordingUpstream } from "../support/upstream.ts";
import { waitFor } from "../support/wait.ts";

export const WORKLOAD = { namespace: "shop", name: "orders-1f2e3d4c" } as const;
export const KEY = bundleKey(WORKLOAD);

export interface World extends AsyncDisposable {
  readonly nats: NatsServer;
  readonly upstream: RecordingUpstream;
  readonly signer: Signer;
  /** The controller's side of the bus. */
  readonly bus: Bus;
  readonly stateDir: string;
  /** Every report so far, oldest first. */
  readonly reports: readonly SidecarReport[];
  sidecar(more?: { readonly clock?: Clock; readonly maxStaleMs?: number }): Promise<Sidecar>;
  publish(bundle: Bundle, signer?: Signer): Promise<void>;
  /** Waits for a report that `wanted` accepts. */
  report(what: string, wanted: (report: SidecarReport) => boolean): Promise<SidecarReport>;
}

export async function openWorld(path: string): Promise<World> {
  await using opening = new AsyncDisposableStack();
  const nats = opening.use(await startNatsServer({ path }));
  const upstream = opening.use(await recordingUpstream());
  const stateDir = await mkdtemp(join(tmpdir(), "postern-state-"));
  opening.defer(() => rm(stateDir, { recursive: true, force: true }));
  const signer = createSigner(generateSigningJwk());
  const keys = await readTrustedKeys(signer.publicJwks);
  const connectBus = async (ensureBuckets: boolean): Promise<Bus> =>
    connectNats({
      servers: [nats.url],
      name: "world",
      clock: systemClock,
      log: silentLog,
      signal: new AbortController().signal,
      ensureBuckets,
    });
  const bus = opening.use(await connectBus(true));
  await waitFor("the bus is connected", () => bus.state === "connected");
  const reports: SidecarReport[] = [];
  const listening = new AbortController();
  const listen = async (): Promise<void> => {
    for await (const { data } of bus.subscribe(ACK_SUBJECTS, listening.signal)) {
      const report = readReport(JSON.parse(Buffer.from(data).toString("utf8")));
      if (report === undefined) throw new Error(`Not a report: ${Buffer.from(data).toString()}`);
      reports.push(report);
    }
  };
  const listened = listen();
  opening.defer(async () => {
    listening.abort();
    await listened;
  });
  let pods = 0;
  const stack = opening.move();
  return {
    nats,
    upstream,
    signer,
    bus,
    stateDir,
    reports,
    async sidecar({ clock = systemClock, maxStaleMs } = {}) {
      const sidecarBus = stack.use(await connectBus(false));
      pods += 1;
      const sidecar = await startSidecar({
        workload: WORKLOAD,
        pod: `orders-${pods}`,
        version: "0.0.0",
        feed: { kind: "bus", bus: sidecarBus, keys, stateDir },
        listen: { host: "127.0.0.1", port: 0 },
        admin: { host: "127.0.0.1", port: 0 },
        upstream,
        clock,
        log: silentLog,
        ...(maxStaleMs === undefined ? {} : { maxStaleMs }),
      });
      return stack.use(sidecar);
    },
    publish: (bundle, by = signer) => bus.bundles.put(KEY, sign(bundle, by)),
    report: (what, wanted) => waitFor(`a report: ${what}`, () => reports.findLast(wanted)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export function sign(bundle: Bundle, signer: Signer): Uint8Array {
  return signer.sign(Buffer.from(canonicalJson(bundle), "utf8"));
}

/** Allows GET of these paths, in a bundle's order, and nothing else, for anybody. */
export function allowing(
  paths: readonly string[],
  more: Partial<BundleContent> = {},
): BundleContent {
  const only = layer({ operations: operations(paths.map((path) => rule("GET", path))) });
  return { workload: WORKLOAD, policies: [only.policy], layers: [only], ...more };
}

export function sealed(content: BundleContent, revision: number, issuedAtMs = Date.now()): Bundle {
  return sealBundle(content, { revision, issuedAtMs });
}

export interface Answer {
  readonly status: number | undefined;
  /** Of problem+json. */
  readonly code: string | undefined;
  readonly body: string;
}

export function get(port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, path, agent: false }, (incoming) => {
      let body = "";
      incoming.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      incoming.once("error", reject);
      incoming.once("end", () => {
        const isJson = /json/.test(incoming.headers["content-type"] ?? "");
        const code = isJson ? (JSON.parse(body) as { readonly code?: string }).code : undefined;
        resolve({ status: incoming.statusCode, code, body });
      });
    });
    outgoing.once("error", reject);
    outgoing.end();
  });
}
