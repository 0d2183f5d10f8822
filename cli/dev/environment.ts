/**
 * The whole product in one process, for trying it: policy folder → controller → signed bundles over a real NATS
 * server → sidecars in front of a sample service. Opened in this order, closed in reverse; nothing is left.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ClusterEvent } from "../../controller/cluster.ts";
import { type Controller, startController } from "../../controller/controller.ts";
import { type Signer, createSigner, generateSigningJwk } from "../../controller/sign.ts";
import type { Labels, Policy, Workload } from "../../policy/resources.ts";
import type { PolicyStatus } from "../../policy/status.ts";
import { workloadLabels, workloadName } from "../../policy/workload-name.ts";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import { type TrustedKeys, readTrustedKeys } from "../../sidecar/bundle/trusted-keys.ts";
import { type Sidecar, startSidecar } from "../../sidecar/sidecar.ts";
import { VERSION } from "../../sidecar/version.ts";
import { readFiles } from "../files/documents.ts";
import { readPolicies } from "../files/policies.ts";
import { UsageError } from "../io.ts";
import { type BusChoice, type DevBus, openDevBus } from "./dev-bus.ts";
import { type FolderLoaded, openFileCluster } from "./file-cluster.ts";
import { SAMPLE_FILE, SAMPLE_LABELS, SAMPLE_NAMESPACE, samplePolicy } from "./sample-policy.ts";
import { type SampleService, startSampleService } from "./sample-service.ts";
import { type TokenIssuer, startTokenIssuer } from "./token-issuer.ts";

export interface DevOptions {
  /** Absent: a folder of ours with the sample policy, which goes away with us. */
  readonly policyFolder?: string;
  readonly sidecars: number;
  readonly bus: BusChoice;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onLoaded: (loaded: FolderLoaded) => void;
  readonly onStatus: (policy: Pick<Policy, "kind" | "metadata">, status: PolicyStatus) => void;
  readonly onEvent: (event: ClusterEvent) => void;
}

export interface DevEnvironment extends AsyncDisposable {
  readonly policyFolder: string;
  /** The sample policy's file, where we wrote it. */
  readonly policyFile: string | undefined;
  /** Whether the folder goes away with us. */
  readonly isTemporary: boolean;
  readonly bus: DevBus;
  readonly service: SampleService;
  readonly issuer: TokenIssuer;
  readonly sidecars: readonly Sidecar[];
}

/** Where we like to be; any other free port will do. */
const PORTS = { sidecars: 18_080, service: 18_060, issuer: 18_070 } as const;

export async function openDev(options: DevOptions): Promise<DevEnvironment> {
  await using opening = new AsyncDisposableStack();
  const work = mkdtempSync(join(tmpdir(), "postern-dev-"));
  opening.defer(() => rmSync(work, { recursive: true, force: true }));

  const service = await startSampleService(PORTS.service);
  opening.defer(() => service.close());
  const issuer = await startTokenIssuer(PORTS.issuer);
  opening.defer(() => issuer.close());
  const folder = resolve(options.policyFolder ?? join(work, "policy"));
  const policyFile = writeSample(folder, issuer.issuer);

  const signer = createSigner(generateSigningJwk());
  const keys = await readTrustedKeys(signer.publicJwks);
  const bus = opening.use(await openDevBus({ ...options, folder: join(work, "nats") }));
  const workload = workloadOf(folder, options.sidecars);
  const controllerBus = await bus.connect("postern-controller");
  opening.defer(() => controllerBus.close());
  opening.use(await openController(folder, workload, controllerBus, signer, options));
  const sidecars: Sidecar[] = [];
  for (const [index, pod] of workload.pods.entries()) {
    const sidecarBus = await bus.connect(`postern-sidecar ${pod}`);
    opening.defer(() => sidecarBus.close());
    const port = PORTS.sidecars + index;
    const open = (port: number) =>
      openSidecar({ pod, port, workload, bus: sidecarBus, keys, service, options });
    sidecars.push(opening.use(await onWishedPort(port, open)));
  }
  const opened = opening.move();
  return {
    policyFolder: folder,
    policyFile,
    isTemporary: options.policyFolder === undefined,
    bus,
    service,
    issuer,
    sidecars,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

type Bus = Awaited<ReturnType<DevBus["connect"]>>;

async function openController(
  folder: string,
  workload: Workload,
  bus: Bus,
  signer: Signer,
  options: DevOptions,
): Promise<Controller> {
  const { clock, log } = options;
  const cluster = openFileCluster({ ...options, folder, workload });
  return startController({ cluster, bus, signer, clock, log });
}

function openSidecar(parts: {
  readonly pod: string;
  readonly port: number;
  readonly workload: Workload;
  readonly bus: Bus;
  readonly keys: TrustedKeys;
  readonly service: SampleService;
  readonly options: DevOptions;
}): Promise<Sidecar> {
  const { pod, port, workload, bus, keys, service, options } = parts;
  return startSidecar({
    workload: { namespace: workload.namespace, name: workload.name },
    pod,
    version: VERSION,
    feed: { kind: "bus", bus, keys },
    listen: { host: "127.0.0.1", port },
    upstream: { host: "127.0.0.1", port: service.port },
    clock: options.clock,
    log: options.log,
    // Nobody but a person at a terminal sends requests here.
    drainTimeoutMs: 1_000,
  });
}

async function onWishedPort<T>(port: number, open: (port: number) => Promise<T>): Promise<T> {
  try {
    return await open(port);
  } catch (error) {
    if (error instanceof PosternError && error.code === "listen.failed") return open(0);
    throw error;
  }
}

/** Never over anything that is there. */
function writeSample(folder: string, issuer: string): string | undefined {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new UsageError(`--policy must be a folder: found the file ${folder}`);
  }
  if (existsSync(folder) && readdirSync(folder).length > 0) return undefined;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, SAMPLE_FILE);
  writeFileSync(file, samplePolicy(issuer));
  return file;
}

/** The pods that the sidecars pretend to be: those that the folder's first policy selects. */
function workloadOf(folder: string, sidecars: number): Workload {
  const first = readPolicies(readFiles([folder], () => "")).policies.find(
    ({ policy }) => policy.spec.selector?.matchLabels !== undefined,
  )?.policy;
  const labels: Labels = first?.spec.selector?.matchLabels ?? SAMPLE_LABELS;
  const namespace =
    first?.kind === "ApiSecurityPolicy" ? first.metadata.namespace : SAMPLE_NAMESPACE;
  const app = labels["app"] ?? "sample";
  return {
    namespace,
    name: workloadName(labels),
    labels: workloadLabels(labels),
    pods: Array.from({ length: sidecars }, (_, index) => `${app}-${index + 1}`),
  };
}
