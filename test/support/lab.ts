/**
 * The real thing on one machine, for measurements: API server, NATS, and the built controller as a process of
 * its own. Talks to the API server as a client would, and reads costs from the kernel.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request, Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { startApiServer } from "./api-server.ts";
import type { ApiServer } from "./api-server.ts";
import { startNatsServer } from "./nats-server.ts";
import type { NatsServer } from "./nats-server.ts";
import { freePort, startServer } from "./process.ts";
import type { ServerProcess } from "./process.ts";
import { waitFor } from "./wait.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const SYSTEM_NAMESPACE = "postern-system";

export interface Lab extends AsyncDisposable {
  readonly api: ApiServer;
  readonly nats: NatsServer;
  /** File with the public keys by which bundles are believed. */
  readonly keysFile: string;
  readonly controller: ServerProcess;
  /** Again, after it was stopped or killed; resolves when it is ready. */
  startController(): Promise<void>;
  /** A request to the API server; throws with its words when refused. */
  call(method: string, path: string, body?: unknown, contentType?: string): Promise<unknown>;
  /** The controller's metrics page. */
  metrics(): Promise<string>;
}

export async function openLab(): Promise<Lab> {
  await using opening = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const nats = opening.use(await startNatsServer());
  const api = await startApiServer();
  opening.defer(() => api.stop());
  const call = client(api.kubeconfig);
  await api.must(["apply", "-f", join(ROOT, "crds")]);
  await api.must(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
  await call("POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: SYSTEM_NAMESPACE },
  });
  const admin = `127.0.0.1:${await freePort()}`;
  let controller: ServerProcess | undefined;
  opening.defer(() => controller?.stop());
  const startController = async (): Promise<void> => {
    const started = startServer(process.execPath, [join(ROOT, "dist", "controller.js")], {
      env: {
        PATH: process.env["PATH"] ?? "",
        POSTERN_KUBECONFIG: api.kubeconfig,
        POSTERN_NAMESPACE: SYSTEM_NAMESPACE,
        POSTERN_NATS_URL: nats.url,
        POSTERN_ADMIN_LISTEN: admin,
        POSTERN_LOG_LEVEL: "warn",
      },
    });
    controller = started;
    await waitFor(
      "the controller is ready",
      async () => {
        if (started.exited()) throw new Error(`The controller ended: ${started.output()}`);
        return fetch(`http://${admin}/readyz`).then(
          (answer) => answer.ok,
          () => false,
        );
      },
      { withinMs: 30_000, everyMs: 50 },
    );
  };
  await startController();
  const keysFile = join(folder, "keys.json");
  const keys = (await call(
    "GET",
    `/api/v1/namespaces/${SYSTEM_NAMESPACE}/configmaps/postern-bundle-keys`,
  )) as { readonly data: Readonly<Record<string, string>> };
  writeFileSync(keysFile, keys.data["jwks.json"] ?? "");
  const opened = opening.move();
  return {
    api,
    nats,
    keysFile,
    get controller() {
      if (controller === undefined) throw new Error("The controller was never started");
      return controller;
    },
    startController,
    call,
    metrics: async () => (await fetch(`http://${admin}/metrics`)).text(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

export function policyPath(namespace: string, name = ""): string {
  const path = `/apis/postern.dev/v1alpha1/namespaces/${namespace}/apisecuritypolicies`;
  return name === "" ? path : `${path}/${name}`;
}

/** A pod that carries a sidecar. There is no kubelet, so it is only the object. */
export function pod(
  namespace: string,
  name: string,
  labels: Readonly<Record<string, string>>,
): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { ...labels, "postern.dev/sidecar": "enabled" } },
    spec: { containers: [{ name: "application", image: "localhost/none" }] },
  };
}

/** What a process holds and has spent, as Linux tells it. */
export function costOf(pid: number): { readonly residentMiB: number; readonly cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return {
    residentMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
    // USER_HZ is 100 on every Linux that Node runs on.
    cpuSeconds: ticks / 100,
  };
}

function client(kubeconfigFile: string): Lab["call"] {
  const config = parse(readFileSync(kubeconfigFile, "utf8")) as {
    readonly clusters: readonly {
      readonly cluster: { readonly server: string; readonly "certificate-authority-data": string };
    }[];
    readonly users: readonly { readonly user: { readonly token: string } }[];
  };
  const cluster = config.clusters[0]?.cluster;
  const token = config.users[0]?.user.token;
  if (cluster === undefined || token === undefined) throw new Error("The kubeconfig is not ours");
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 16,
    ca: Buffer.from(cluster["certificate-authority-data"], "base64"),
  });
  return (method, path, body, contentType = "application/json") =>
    new Promise((resolve, reject) => {
      const sent = request(`${cluster.server}${path}`, {
        method,
        agent,
        headers: { authorization: `Bearer ${token}`, "content-type": contentType },
      });
      sent.on("error", reject);
      sent.on("response", (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk: string) => (text += chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          if ((answer.statusCode ?? 0) < 300) resolve(JSON.parse(text));
          else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 500)}`));
        });
      });
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
}
