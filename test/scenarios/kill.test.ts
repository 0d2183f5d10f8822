/**
 * `kill -9` of the controller, of nats-server and of a sidecar, each in turn and under load: no request is
 * answered other than by the last verified policy, and everything recovers without a human. The built
 * programs, as processes of their own, on a real API server and a real NATS.
 */
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { SignJWT } from "jose";
import { workloadName } from "../../policy/workload-name.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { openLab, pod, policyPath } from "../support/lab.ts";
import type { Lab } from "../support/lab.ts";
import { freePort, startServer } from "../support/process.ts";
import type { ServerProcess } from "../support/process.ts";
import { recordingUpstream } from "../support/upstream.ts";
import type { RecordingUpstream } from "../support/upstream.ts";
import { waitFor } from "../support/wait.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const LABELS = { app: "orders" };
const ISSUER = "https://id.example.com";
const PODS = ["orders-0", "orders-1"];

/** What the policy in force answers; edits are made while they cannot arrive, and the load ends before they can. */
interface Expectation {
  readonly path: string;
  readonly token: boolean;
  readonly status: number;
}
const BY_POLICY: readonly Expectation[] = [
  { path: "/orders/1", token: true, status: 200 },
  { path: "/orders/1", token: false, status: 401 },
  { path: "/secrets", token: true, status: 403 },
];

await describeWithParts(
  ["etcd", "kube-apiserver", "kubectl", "nats-server"],
  "Kill one, under load",
  () => {
    let lab: Lab;
    let upstream: RecordingUpstream;
    let token: string;
    const folder = mkdtempSync(join(tmpdir(), "postern-kill-"));
    const sidecars: Running[] = [];
    const issuer = generateKeyPairSync("ec", { namedCurve: "P-256" });

    beforeAll(async () => {
      [lab, upstream] = await Promise.all([openLab(), recordingUpstream()]);
      token = await new SignJWT({ scope: "orders:read" })
        .setProtectedHeader({ alg: "ES256", kid: "one" })
        .setIssuer(ISSUER)
        .setExpirationTime("1h")
        .sign(issuer.privateKey);
      await lab.call("POST", "/api/v1/namespaces", {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: "shop" },
      });
      for (const name of PODS) {
        await lab.call("POST", "/api/v1/namespaces/shop/pods", pod("shop", name, LABELS));
      }
      await lab.call("POST", policyPath("shop"), policy("/orders/{id}"));
      for (const name of PODS) {
        sidecars.push(await startSidecarProcess(lab, name, join(folder, name), upstream.port));
      }
      await enforced("2/2");
    }, 120_000);

    afterAll(async () => {
      for (const { process } of sidecars) await process.stop("SIGKILL");
      await upstream.close();
      await lab[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    });

    test("of the controller: nothing changes for requests, and the next edit is enforced", async () => {
      const load = startLoad(sidecars, token);
      await load.answered(50);
      await lab.controller.stop("SIGKILL");
      await load.answered(100);
      await lab.call("PATCH", ...edit("/orders/{id}/items"));
      await load.answered(100);
      await load.stop();

      await lab.startController();
      await waitFor("the edit is enforced", () => everywhere("/orders/1/items", 200), WAIT);
      await lab.call("PATCH", ...edit("/orders/{id}"));
      await waitFor("it is taken back", () => everywhere("/orders/1", 200), WAIT);
      await enforced("2/2");
    }, 90_000);

    test("of nats-server: requests are decided by the last policy, and the next edit arrives when it is back", async () => {
      const load = startLoad(sidecars, token);
      await load.answered(50);
      await lab.nats.kill();
      await load.answered(100);
      await lab.call("PATCH", ...edit("/orders/{id}/items"));
      await load.answered(100);
      await load.stop();

      await lab.nats.start();
      await waitFor("the edit is enforced", () => everywhere("/orders/1/items", 200), WAIT);
      await lab.call("PATCH", ...edit("/orders/{id}"));
      await waitFor("it is taken back", () => everywhere("/orders/1", 200), WAIT);
      await enforced("2/2");
    }, 90_000);

    test("of a sidecar: its first answer after the restart is by the policy on disk, and the status tells of both", async () => {
      const [first, second] = sidecars;
      if (first === undefined || second === undefined) throw new Error("There are two sidecars");
      const load = startLoad(sidecars, token);
      await load.answered(50);
      await first.process.stop("SIGKILL");
      await enforced("1/2");
      expect(await enforcedMessage()).toContain(first.pod);
      // From disk, not from the bus.
      await lab.nats.kill();
      first.process = launch(lab, first.pod, first.stateDir, first.port, upstream.port);
      await waitFor("it answers again", () => answers(first), WAIT);
      await load.answered(200);
      await load.stop();
      expect(load.statusesOf(first)).not.toContain(503);
      await lab.nats.start();
      await enforced("2/2");
    }, 90_000);

    test("of nothing: a sidecar that hangs is named within 15 s, and counts again when it goes on", async () => {
      const [first] = sidecars;
      if (first === undefined) throw new Error("There are two sidecars");
      process.kill(first.process.pid, "SIGSTOP");
      try {
        await enforced("1/2");
        expect(await enforcedMessage()).toContain(first.pod);
      } finally {
        process.kill(first.process.pid, "SIGCONT");
      }
      await enforced("2/2");
    }, 60_000);

    // === Helpers ===

    function policy(path: string): { readonly spec: object } {
      const jwk = { ...issuer.publicKey.export({ format: "jwk" }), kid: "one" };
      return {
        apiVersion: "postern.dev/v1alpha1",
        kind: "ApiSecurityPolicy",
        metadata: { name: "orders", namespace: "shop" },
        spec: {
          selector: { matchLabels: LABELS },
          authentication: {
            providers: [
              {
                name: "corp",
                jwt: { issuer: ISSUER, jwks: { inline: JSON.stringify({ keys: [jwk] }) } },
              },
            ],
          },
          operations: {
            rules: [{ name: "read", methods: ["GET"], path, scopes: { all: ["orders:read"] } }],
          },
        },
      } as { readonly spec: object };
    }

    function edit(path: string): [string, unknown, string] {
      return [
        policyPath("shop", "orders"),
        { spec: policy(path).spec },
        "application/merge-patch+json",
      ];
    }

    async function status(): Promise<PolicyObject> {
      return (await lab.call("GET", policyPath("shop", "orders"))) as PolicyObject;
    }

    async function enforced(count: string): Promise<void> {
      await waitFor(
        `the status says ${count}`,
        async () => (await status()).status?.sidecars === count,
        { withinMs: 15_000, everyMs: 100 },
      );
    }

    async function enforcedMessage(): Promise<string> {
      const conditions = (await status()).status?.conditions ?? [];
      return conditions.find(({ type }) => type === "Enforced")?.message ?? "";
    }

    async function everywhere(path: string, expected: number): Promise<boolean> {
      const statuses = await Promise.all(sidecars.map(({ port }) => ask(port, path, token)));
      return statuses.every((one) => one === expected);
    }

    async function answers(sidecar: Running): Promise<boolean> {
      return (await ask(sidecar.port, "/orders/1", token)) !== undefined;
    }
  },
);

const WAIT = { withinMs: 20_000, everyMs: 50 };

interface PolicyObject {
  readonly status?: {
    readonly sidecars: string;
    readonly conditions: readonly { readonly type: string; readonly message: string }[];
  };
}

interface Running {
  readonly pod: string;
  readonly port: number;
  readonly stateDir: string;
  process: ServerProcess;
}

async function startSidecarProcess(
  lab: Lab,
  name: string,
  stateDir: string,
  upstreamPort: number,
): Promise<Running> {
  const port = await freePort();
  return { pod: name, port, stateDir, process: launch(lab, name, stateDir, port, upstreamPort) };
}

function launch(
  lab: Lab,
  name: string,
  stateDir: string,
  port: number,
  upstreamPort: number,
): ServerProcess {
  return startServer(process.execPath, [join(ROOT, "dist", "sidecar.js")], {
    env: {
      POSTERN_UPSTREAM_URL: `http://127.0.0.1:${upstreamPort}`,
      POSTERN_LISTEN: `127.0.0.1:${port}`,
      POSTERN_ADMIN_LISTEN: "127.0.0.1:0",
      POSTERN_NATS_URL: lab.nats.url,
      POSTERN_NAMESPACE: "shop",
      POSTERN_WORKLOAD: workloadName(LABELS),
      POSTERN_POD: name,
      POSTERN_BUNDLE_KEYS_FILE: lab.keysFile,
      POSTERN_STATE_DIR: stateDir,
    },
  });
}

interface Load {
  /** Resolves when so many more requests were answered. */
  answered(count: number): Promise<void>;
  statusesOf(sidecar: Running): ReadonlySet<number>;
  /** Throws when an answer was not what the policy says. */
  stop(): Promise<void>;
}

/** Every request in turn on every sidecar, until stopped. A connection that is refused or cut is no answer. */
function startLoad(sidecars: readonly Running[], token: string): Load {
  const stopping = new AbortController();
  let total = 0;
  const wrong: string[] = [];
  const seen = new Map<Running, Set<number>>(sidecars.map((sidecar) => [sidecar, new Set()]));
  const agent = new Agent({ keepAlive: true });
  const loops = sidecars.map(async (sidecar) => {
    while (!stopping.signal.aborted) {
      for (const { path, token: withToken, status } of BY_POLICY) {
        const given = await ask(sidecar.port, path, withToken ? token : undefined, agent);
        if (given === undefined) continue;
        total += 1;
        seen.get(sidecar)?.add(given);
        if (given !== status) {
          wrong.push(`${path}${withToken ? "" : " without token"}: ${given} instead of ${status}`);
        }
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  return {
    answered: async (count) => {
      const from = total;
      await waitFor(`${count} more answers`, () => total >= from + count, WAIT);
    },
    statusesOf: (sidecar) => seen.get(sidecar) ?? new Set(),
    async stop() {
      stopping.abort();
      await Promise.all(loops);
      agent.destroy();
      expect(wrong).toEqual([]);
    },
  };
}

function ask(
  port: number,
  path: string,
  token: string | undefined,
  agent?: Agent,
): Promise<number | undefined> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port, path, headers, agent, timeout: 5_000 }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode));
      answer.on("error", () => resolve(undefined));
    })
      .on("timeout", function (this: { destroy(): void }) {
        this.destroy();
      })
      .on("error", () => resolve(undefined));
  });
}
