/**
 * One sidecar: a source of bundles, the store that holds the one in force, and the data path that decides by
 * it. Opens in the order below and closes in reverse: first no more requests, then the last report, then the
 * rest. Nothing here belongs to the process, so one process can hold many.
 */
import type { WorkloadRef } from "../policy/bundle.ts";
import { openAdminServer, jsonAnswer } from "../runtime/admin-server.ts";
import type { Bus } from "../runtime/bus/bus.ts";
import type { Clock } from "../runtime/clock.ts";
import { PosternError, describe } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import type { Address } from "../runtime/parsers.ts";
import { processMetrics } from "../runtime/process-metrics.ts";
import { describeBundle, readiness } from "./admin.ts";
import { bundleDisk } from "./bundle/disk.ts";
import { busSource } from "./bundle/nats-source.ts";
import type { Arrival, BundleSource } from "./bundle/source.ts";
import { BundleStore } from "./bundle/store.ts";
import type { TrustedKeys, WatchedKeys } from "./bundle/trusted-keys.ts";
import { createVerifier } from "./bundle/verify.ts";
import { watchTlsFiles } from "./connection/tls-files.ts";
import type { TlsFiles } from "./connection/tls-files.ts";
import { createDataPath } from "./data-path.ts";
import type { DataPathLimits } from "./data-path.ts";
import type { RecordSink } from "./decision-record.ts";
import { createMetrics } from "./metrics.ts";
import type { Metrics } from "./metrics.ts";
import { prepare, prepareClosed } from "./prepared.ts";
import type { Prepared } from "./prepared.ts";
import { startReporting } from "./report.ts";
import type { UpstreamAddress } from "./upstream/address.ts";

/** Below Kubernetes' grace period of 30 s. */
export const DEFAULT_DRAIN_MS = 25_000;
/** A controller that is away over a night must not take the services with it. */
export const DEFAULT_MAX_STALE_MS = 24 * 60 * 60_000;

/** Where bundles come from. What is given stays its owner's to close. */
export type Feed =
  | {
      readonly kind: "bus";
      readonly bus: Bus;
      readonly keys: TrustedKeys | WatchedKeys;
      /** Folder for the last verified bundle; absent: none is kept. */
      readonly stateDir?: string;
    }
  | { readonly kind: "source"; readonly source: BundleSource };

export interface SidecarOptions {
  readonly workload: WorkloadRef;
  readonly pod: string;
  readonly version: string;
  readonly feed: Feed;
  readonly listen: Address;
  readonly upstream: UpstreamAddress;
  /** Absent: no admin port. */
  readonly admin?: Address;
  /** Absent: no TLS. */
  readonly tls?: TlsFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly maxStaleMs?: number;
  readonly drainTimeoutMs?: number;
  readonly limits?: Partial<DataPathLimits>;
  /** Default: the log. */
  readonly record?: RecordSink;
  /** Lines of the log that were dropped, for the metric. Absent: nobody drops any. */
  readonly droppedLines?: () => number;
}

export interface Sidecar extends AsyncDisposable {
  readonly address: Address;
  readonly adminAddress: Address | undefined;
  readonly store: BundleStore<Prepared>;
  readonly metrics: Metrics;
  /** Resolves when a bundle is current; rejects with the signal's reason. */
  whenReady(signal: AbortSignal): Promise<void>;
  /** Not ready, no new requests, lets those in flight end, then closes the rest. Idempotent. */
  close(): Promise<void>;
}

export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { clock, log, workload } = options;
  await using opening = new AsyncDisposableStack();
  const metrics = createMetrics();
  const store = opening.use(
    new BundleStore<Prepared>({
      prepare,
      prepareClosed,
      maxStaleMs: options.maxStaleMs ?? DEFAULT_MAX_STALE_MS,
      clock,
      log,
    }),
  );
  measure(store, metrics);
  if (options.droppedLines !== undefined) {
    metrics.counter("postern_records_dropped_total", options.droppedLines);
  }
  const feeding = new AbortController();
  const { source, restored } = await openFeed(options, store, metrics, feeding.signal);
  let draining = false;
  let adminAddress: Address | undefined;
  if (options.admin !== undefined) {
    const costs = opening.use(processMetrics());
    const admin = await openAdminServer({
      listen: options.admin,
      log,
      ready: readiness(store, () => draining),
      metrics: () => metrics.render() + costs.render(),
      routes: { "/debug/bundle": () => jsonAnswer(describeBundle(store, source.name)) },
    });
    opening.use(admin);
    adminAddress = admin.address;
  }
  const fed = feed(source, store, options, metrics, feeding.signal);
  opening.defer(async () => {
    feeding.abort(new PosternError("aborted", "The sidecar was closed"));
    await fed;
  });
  if (options.feed.kind === "bus")
    opening.use(startReporting({ ...options, bus: options.feed.bus, store }));
  const tls = options.tls && opening.use(await watchTlsFiles(options.tls, { clock, log, metrics }));
  if (tls === undefined) opening.defer(warnOfNoTls(store, log));
  else {
    metrics.gauge(
      "postern_tls_certificate_not_after_timestamp_seconds",
      () => tls.current.notAfterMs / 1000,
    );
  }
  const dataPath = createDataPath({
    ...options,
    current: () => store.current,
    metrics,
    tls,
  });
  opening.use(dataPath);
  const address = await dataPath.listen(options.listen);
  opening.defer(async () => {
    draining = true;
    const over = new AbortController();
    const late = clock.sleep(options.drainTimeoutMs ?? DEFAULT_DRAIN_MS, over.signal);
    const cut = new AbortController();
    late.then(
      () => cut.abort(new PosternError("aborted", "The drain took too long")),
      () => undefined, // drained in time
    );
    await dataPath.drain(cut.signal);
    over.abort();
  });
  log.info("Sidecar serves", {
    workload: `${workload.namespace}/${workload.name}`,
    listen: `${address.host}:${address.port}`,
    source: source.name,
    restored,
  });
  const opened = opening.move();
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= opened.disposeAsync());
  return {
    address,
    adminAddress,
    store,
    metrics,
    whenReady: (signal) => whenCurrent(store, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What is on disk counts before anybody answers, and is verified like anything else. */
async function openFeed(
  options: SidecarOptions,
  store: BundleStore<Prepared>,
  metrics: Metrics,
  signal: AbortSignal,
): Promise<{ readonly source: BundleSource; readonly restored: boolean }> {
  const { feed, workload, log } = options;
  if (feed.kind === "source") return { source: feed.source, restored: false };
  const verify = createVerifier({ keys: feed.keys, workload });
  const source = busSource({ bus: feed.bus, workload, verify });
  if ("onChange" in feed.keys) {
    const stop = feed.keys.onChange(() => source.recheck());
    signal.addEventListener("abort", stop, { once: true });
  }
  if (feed.stateDir === undefined) return { source, restored: false };
  const kept = await bundleDisk(feed.stateDir, log).load();
  if (kept === undefined) return { source, restored: false };
  const arrival = await verify(kept);
  if (arrival.kind === "refused") {
    // Not reported as refused: nobody has published it. Keys may have changed since, or the disk is broken.
    log.warn("The kept bundle does not count", { code: arrival.code, detail: arrival.detail });
    return { source, restored: false };
  }
  await take(arrival, store, metrics, log);
  return { source, restored: true };
}

async function feed(
  source: BundleSource,
  store: BundleStore<Prepared>,
  { feed, log }: SidecarOptions,
  metrics: Metrics,
  signal: AbortSignal,
): Promise<void> {
  const disk =
    feed.kind === "bus" && feed.stateDir !== undefined ? bundleDisk(feed.stateDir, log) : undefined;
  try {
    for await (const arrival of source.arrivals(signal)) {
      const outcome = await take(arrival, store, metrics, log);
      const isNew = outcome === "taken" || outcome === "renewed";
      if (isNew && arrival.kind === "bundle" && arrival.bytes !== undefined) {
        await disk?.save(arrival.bytes);
      }
    }
  } catch (cause) {
    if (!signal.aborted) log.error("Bundles no longer arrive", { error: describe(cause) });
  }
}

async function take(
  arrival: Arrival,
  store: BundleStore<Prepared>,
  metrics: Metrics,
  log: Log,
): Promise<string> {
  const outcome = await store.offer(arrival);
  if (outcome === "taken") {
    metrics.count("postern_bundle_swaps_total");
    const { problems } = store.current;
    if (problems.length > 0) log.warn("Parts of the bundle cannot be used", { problems });
  }
  if (outcome === "refused" && store.refused !== undefined) {
    metrics.count("postern_bundle_refusals_total", store.refused.code);
  }
  return outcome;
}

/** Whoever asks for TLS where there is none shall find the reason before the callers do. */
function warnOfNoTls(store: BundleStore<Prepared>, log: Log): () => void {
  let told: string | undefined;
  const look = (): void => {
    const { layers, digest } = store.current;
    const asking = layers.filter(({ transport }) => transport?.tls === "Strict");
    if (asking.length === 0 || digest === told) return;
    told = digest;
    log.warn("Policies ask for TLS, and the sidecar has no certificate: every request is refused", {
      policies: asking.map(({ policy }) => policy),
    });
  };
  look();
  return store.onChange(look);
}

function measure(store: BundleStore<Prepared>, metrics: Metrics): void {
  const held = () => (store.state.kind === "waiting" ? undefined : store.state.bundle);
  metrics.gauge("postern_tokens_remembered", () => store.current.tokens.size);
  metrics.gauge("postern_bundle_revision", () => held()?.revision ?? 0);
  metrics.gauge("postern_bundle_issued_timestamp_seconds", () => (held()?.issuedAtMs ?? 0) / 1000);
}

function whenCurrent(store: BundleStore<Prepared>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (store.state.kind !== "current") return;
      stop();
      signal.removeEventListener("abort", aborted);
      resolve();
    };
    const stop = store.onChange(look);
    function aborted(): void {
      stop();
      reject(signal.reason as Error);
    }
    if (signal.aborted) aborted();
    signal.addEventListener("abort", aborted, { once: true });
    look();
  });
}
