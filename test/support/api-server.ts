/**
 * A real Kubernetes API server (kube-apiserver on etcd) on free loopback ports, for one test file. RBAC is on,
 * so that the controller is tested with the rights that it ships with. There is no kubelet and no scheduler:
 * pods are objects, and tests say how they fare. `kill()` and `restart()` keep etcd's state.
 */
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lookUp } from "./parts.ts";
import type { PartName } from "./parts.ts";
import { freePort, startServer } from "./process.ts";
import type { ServerProcess } from "./process.ts";
import { waitFor } from "./wait.ts";

const ADMIN_TOKEN = "admin-token";
/** Has no rights of its own; tests bind the controller's roles to it. */
export const CONTROLLER_USER = "postern-controller";
const CONTROLLER_TOKEN = "controller-token";
const ETCD_READY_MS = 30_000;
const API_READY_MS = 60_000;

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ApiServer {
  readonly url: string;
  /** Path of a kubeconfig with every right. */
  readonly kubeconfig: string;
  /** Path of a kubeconfig for `CONTROLLER_USER`. */
  readonly controllerKubeconfig: string;
  /** Never throws for a refusal: the code says it. */
  kubectl(args: readonly string[], stdin?: string): Promise<KubectlResult>;
  /** `kubectl`, and throws with its words when it fails. */
  must(args: readonly string[], stdin?: string): Promise<string>;
  /** SIGKILL of the API server; etcd stays. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startApiServer(): Promise<ApiServer> {
  const programs = {
    etcd: await pathOf("etcd"),
    api: await pathOf("kube-apiserver"),
    kubectl: await pathOf("kubectl"),
  };
  const dir = mkdtempSync(join(tmpdir(), "postern-kube-"));
  const etcdUrl = `http://127.0.0.1:${await freePort()}`;
  const etcdProcess = await startEtcd(programs.etcd, dir, etcdUrl);
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  writeKeys(dir);
  let api = launch(programs.api, dir, etcdUrl, port);
  await ready(url, api);

  const kubeconfig = writeKubeconfig(dir, url, "admin", ADMIN_TOKEN);
  const controllerKubeconfig = writeKubeconfig(dir, url, CONTROLLER_USER, CONTROLLER_TOKEN);
  const cacheDir = join(dir, "kubectl-cache");
  mkdirSync(cacheDir);

  const kubectl = (args: readonly string[], stdin?: string): Promise<KubectlResult> =>
    run(programs.kubectl, args, stdin, {
      KUBECONFIG: kubeconfig,
      KUBECACHEDIR: cacheDir,
      HOME: dir,
    });
  return {
    url,
    kubeconfig,
    controllerKubeconfig,
    kubectl,
    async must(args, stdin) {
      const result = await kubectl(args, stdin);
      if (result.code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${result.stderr}`);
      return result.stdout;
    },
    async kill() {
      await api.stop("SIGKILL");
    },
    async restart() {
      if (!api.exited()) await api.stop("SIGKILL");
      api = launch(programs.api, dir, etcdUrl, port);
      await ready(url, api);
    },
    async stop() {
      if (!api.exited()) await api.stop("SIGKILL");
      await etcdProcess.stop("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function pathOf(name: PartName): Promise<string> {
  const obtained = await lookUp(name);
  if (obtained.kind === "missing") throw new Error(`${name} is missing: ${obtained.remedy}`);
  return obtained.path;
}

async function startEtcd(path: string, dir: string, clientUrl: string): Promise<ServerProcess> {
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const process = startServer(path, [
    `--data-dir=${join(dir, "etcd")}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    "--unsafe-no-fsync",
    "--log-level=error",
  ]);
  await waitFor(
    "etcd is healthy",
    async () => {
      if (process.exited()) throw new Error("etcd has ended");
      return fetch(`${clientUrl}/health`).then(
        (answer) => answer.ok,
        () => false,
      );
    },
    { withinMs: ETCD_READY_MS, everyMs: 50 },
  ).catch((error: unknown) => fail(process, "etcd", error));
  return process;
}

function launch(path: string, dir: string, etcdUrl: string, port: number): ServerProcess {
  return startServer(path, [
    `--etcd-servers=${etcdUrl}`,
    "--bind-address=127.0.0.1",
    `--secure-port=${port}`,
    `--cert-dir=${join(dir, "certs")}`,
    `--service-account-issuer=https://127.0.0.1:${port}`,
    `--service-account-key-file=${join(dir, "sa.pub")}`,
    `--service-account-signing-key-file=${join(dir, "sa.key")}`,
    `--token-auth-file=${join(dir, "tokens.csv")}`,
    "--authorization-mode=RBAC",
    // There is no controller-manager that would make the default ServiceAccounts.
    "--disable-admission-plugins=ServiceAccount",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--allow-privileged=true",
    // Nobody waits for these in a test.
    "--shutdown-delay-duration=0s",
    "--endpoint-reconciler-type=none",
    "--v=1",
  ]);
}

function writeKeys(dir: string): void {
  const pair = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  writeFileSync(join(dir, "sa.key"), pair.privateKey, { mode: 0o600 });
  writeFileSync(join(dir, "sa.pub"), pair.publicKey);
  writeFileSync(
    join(dir, "tokens.csv"),
    [
      `${ADMIN_TOKEN},admin,admin,system:masters`,
      `${CONTROLLER_TOKEN},${CONTROLLER_USER},${CONTROLLER_USER}`,
      "",
    ].join("\n"),
    { mode: 0o600 },
  );
}

function writeKubeconfig(dir: string, url: string, user: string, token: string): string {
  const path = join(dir, `${user}.kubeconfig`);
  // The API server signs its own certificate, and writes the authority that it made for that into the same file.
  const authority = readFileSync(join(dir, "certs", "apiserver.crt")).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority-data": authority } }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user } }],
    "current-context": "test",
  };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

async function ready(url: string, api: ServerProcess): Promise<void> {
  await waitFor(
    "kube-apiserver is ready",
    async () => {
      if (api.exited()) throw new Error("kube-apiserver has ended");
      return (await statusOf(`${url}/readyz`).catch(() => 0)) === 200;
    },
    { withinMs: API_READY_MS, everyMs: 100 },
  ).catch((error: unknown) => fail(api, "kube-apiserver", error));
}

/** Without looking at the certificate: this only asks whether it is up. */
function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const req = request(
      url,
      {
        rejectUnauthorized: false,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
        timeout: 2_000,
        agent: false,
      },
      (res) => {
        res.resume();
        resolve(res.statusCode ?? 0);
      },
    );
    req.on("timeout", () => req.destroy(new Error("no answer within 2 s")));
    req.on("error", reject);
    req.end();
  });
}

async function fail(process: ServerProcess, name: string, cause: unknown): Promise<never> {
  const output = process.output();
  await process.stop("SIGKILL");
  throw new Error(`Cannot start ${name}: ${output.slice(-2_000)}`, { cause });
}

function run(
  path: string,
  args: readonly string[],
  stdin: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<KubectlResult> {
  return new Promise((resolve) => {
    const child = execFile(
      path,
      [...args],
      { env, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end(stdin ?? "");
  });
}
