/**
 * The chart in a real API server: what install, upgrade and uninstall leave there, and that the controller runs
 * with the environment and the rights that the chart gives it.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { CLUSTER_RULES, NAMESPACE_RULES } from "../../controller/rbac.ts";
import { startApiServer } from "../support/api-server.ts";
import type { ApiServer } from "../support/api-server.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { CHART, environmentOf, openHelm } from "../support/helm.ts";
import type { Helm, Manifest } from "../support/helm.ts";
import { readText, ROOT, SYSTEM_NAMESPACE } from "../support/kube.ts";
import { startNatsServer } from "../support/nats-server.ts";
import type { NatsServer } from "../support/nats-server.ts";
import { freePort, startServer } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";

const execute = promisify(execFile);
const NAME = "postern-controller";
const IMAGE = "--set=image.repository=registry.example.com/postern-controller";
const IN = `--namespace=${SYSTEM_NAMESPACE}`;

const CRDS = [
  "CustomResourceDefinition apisecuritypolicies.postern.dev",
  "CustomResourceDefinition clusterapisecuritypolicies.postern.dev",
  // The API server's own, for the CRDs' group.
  "APIService v1alpha1.postern.dev",
];
const NAMESPACE = [`Namespace ${SYSTEM_NAMESPACE}`];
const RELEASE = [
  `ClusterRole ${NAME}`,
  `ClusterRoleBinding ${NAME}`,
  `Deployment ${SYSTEM_NAMESPACE}/${NAME}`,
  `Role ${SYSTEM_NAMESPACE}/${NAME}`,
  `RoleBinding ${SYSTEM_NAMESPACE}/${NAME}`,
  `Secret ${SYSTEM_NAMESPACE}/sh.helm.release.v1.postern.v1`,
  `Service ${SYSTEM_NAMESPACE}/${NAME}-metrics`,
  `ServiceAccount ${SYSTEM_NAMESPACE}/${NAME}`,
];
/** Made by the controller when it runs. */
const KEYS = [
  `ConfigMap ${SYSTEM_NAMESPACE}/postern-bundle-keys`,
  `Secret ${SYSTEM_NAMESPACE}/postern-bundle-signing`,
];

const NEEDED = ["helm", "etcd", "kube-apiserver", "kubectl", "nats-server"] as const;
await describeWithParts(NEEDED, "the chart, in a cluster", ({ helm: path, kubectl }) => {
  let api: ApiServer;
  let nats: NatsServer;
  let helm: Helm;
  beforeAll(async () => {
    [api, nats] = await Promise.all([startApiServer(), startNatsServer()]);
    helm = openHelm(path, api.kubeconfig);
  }, 90_000);
  afterAll(async () => {
    helm[Symbol.dispose]();
    await Promise.all([api.stop(), nats.close()]);
  });

  const get = async <T>(kind: string, name: string): Promise<T> =>
    JSON.parse(await api.must(["get", kind, name, IN, "-o", "json"])) as T;

  test("helm install puts everything there, and says what to do next", async () => {
    const values = [IMAGE, `--set=nats.url=${nats.url}`, "--set=metrics.service.enabled=true"];
    const notes = await helm.must("install", "postern", CHART, IN, "--create-namespace", ...values);
    expect(notes).toContain(`kubectl rollout status deployment/${NAME} -n ${SYSTEM_NAMESPACE}`);
    expect(await ours(api)).toEqual([...CRDS, ...NAMESPACE, ...RELEASE].toSorted());
  });

  test("its rights are those that controller/rbac.ts lists, for its ServiceAccount alone", async () => {
    expect((await get<Manifest>("clusterrole", NAME)).rules).toEqual(CLUSTER_RULES);
    expect((await get<Manifest>("role", NAME)).rules).toEqual(NAMESPACE_RULES);
    for (const kind of ["clusterrolebinding", "rolebinding"]) {
      expect(await get<object>(kind, NAME)).toMatchObject({
        roleRef: { kind: kind === "rolebinding" ? "Role" : "ClusterRole", name: NAME },
        subjects: [{ kind: "ServiceAccount", name: NAME, namespace: SYSTEM_NAMESPACE }],
      });
    }
  });

  test("its pod is let into a namespace that asks for the restricted standard", async () => {
    const { spec } = await get<Manifest>("deployment", NAME);
    const pod = (container: object): string =>
      JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "as-the-chart-says", namespace: SYSTEM_NAMESPACE },
        spec: { ...spec?.template?.spec, containers: [container] },
      });
    const container = spec?.template?.spec.containers[0] ?? {};
    const label = "pod-security.kubernetes.io/enforce=restricted";
    await api.must(["label", "namespace", SYSTEM_NAMESPACE, label]);
    const create = ["create", "--dry-run=server", "-f", "-"];
    await api.must(create, pod(container));
    // The standard is in force: without the container's own restrictions the same pod is refused.
    const loose = await api.kubectl(create, pod({ ...container, securityContext: {} }));
    expect(loose.stderr).toContain('violates PodSecurity "restricted');
  });

  test("whatever the values are, the API server knows every field", async () => {
    const everything = join(ROOT, "test", "golden", "chart", "everything.out.yaml");
    const create = ["replace", "--dry-run=server", "--validate=strict", "-o", "json"];
    const answer = await api.must([...create, "-f", everything]);
    expect(answer).toContain('"defaultMode": 288'); // 0440
  });

  test("the controller becomes ready with the chart's environment and its ServiceAccount", async () => {
    const token = await api.must(["create", "token", NAME, IN]);
    const admin = await freePort();
    const env = environmentOf(await get<Manifest>("deployment", NAME));
    using kubeconfig = kubeconfigFor(api, token.trim());
    const controller = startServer(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", join(ROOT, "controller", "main.ts")],
      {
        env: {
          ...env,
          POSTERN_KUBECONFIG: kubeconfig.path,
          POSTERN_ADMIN_LISTEN: `127.0.0.1:${admin}`,
        },
      },
    );
    try {
      await waitFor(
        "the controller is ready",
        async () => {
          if (controller.exited()) throw new Error(controller.output());
          return fetch(`http://127.0.0.1:${admin}/readyz`).then(
            ({ status }) => status === 200,
            () => false,
          );
        },
        { withinMs: 20_000, everyMs: 100 },
      );
    } finally {
      await controller.stop();
    }
    expect(controller.output()).not.toContain("HTTP 403");
  });

  test("the guide's commands copy the public keys into another namespace", async () => {
    await api.must(["create", "namespace", "shop"]);
    const commands = /```sh\n(KEYS=[\s\S]+?)```/.exec(
      readText("docs", "guides", "install.md"),
    )?.[1];
    await execute("sh", ["-ec", commands ?? "exit 1"], {
      env: {
        PATH: `${dirname(kubectl)}:/usr/bin:/bin`,
        KUBECONFIG: api.kubeconfig,
        HOME: dirname(api.kubeconfig),
      },
    });
    const copy = await api.must([
      "get",
      "configmap",
      "postern-bundle-keys",
      "--namespace=shop",
      "-o",
      "json",
    ]);
    const { data } = JSON.parse(copy) as { data: Record<string, string> };
    expect(JSON.parse(data["jwks.json"] ?? "")).toEqual({
      keys: [expect.objectContaining({ crv: "Ed25519" })],
    });
    await api.must(["delete", "configmap", "postern-bundle-keys", "--namespace=shop"]);
  });

  test("kubectl brings CRDs that helm installed up to date", async () => {
    const file = join(CHART, "crds", "postern.dev_apisecuritypolicies.yaml");
    const newer = readFileSync(file, "utf8").replace(/description: (\w)/, "description: Newer $1");
    await api.must(["apply", "--server-side", "--force-conflicts", "-f", "-"], newer);
    const crd = await api.must(["get", "crd", "apisecuritypolicies.postern.dev", "-o", "json"]);
    expect(crd).toContain('"Newer ');
  });

  test("helm upgrade changes what a value says, and keeps the others", async () => {
    const changes = ["--reset-then-reuse-values", "--set=keys.refresh=1m"];
    await helm.must("upgrade", "postern", CHART, IN, ...changes);
    expect(environmentOf(await get<Manifest>("deployment", NAME))).toMatchObject({
      POSTERN_NATS_URL: nats.url,
      POSTERN_KEYS_REFRESH: "1m",
      POSTERN_LOG_LEVEL: "info",
    });
  });

  test("helm uninstall leaves the CRDs and the controller's own keys, and nothing else", async () => {
    await helm.must("uninstall", "postern", IN);
    // Policies and the trust of sidecars outlive the controller: what is gone with them is gone for good.
    expect(await ours(api)).toEqual([...CRDS, ...NAMESPACE, ...KEYS].toSorted());
  });
});

/** Everything of every kind that bears our name; Events come and go by themselves. */
async function ours(api: ApiServer): Promise<string[]> {
  const kinds = (await api.must(["api-resources", "--verbs=list", "-o", "name"]))
    .trim()
    .split("\n");
  const form = '{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}';
  const wanted = kinds.filter((kind) => !/^events\b/.test(kind)).join(",");
  const text = await api.must(["get", wanted, "--all-namespaces", "-o", `jsonpath=${form}`]);
  return text
    .split("\n")
    .filter((line) => line.includes("postern"))
    .map((line) => line.replace(" /", " "))
    .toSorted();
}

function kubeconfigFor(api: ApiServer, token: string): { readonly path: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), "postern-chart-"));
  const path = join(dir, "config");
  const config = JSON.parse(readFileSync(api.kubeconfig, "utf8")) as { users: object[] };
  config.users = config.users.map((user) => ({ ...user, user: { token } }));
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return { path, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}
