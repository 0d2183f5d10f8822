/**
 * Rows of the failure table that concern the controller, on real parts: each thing fails in turn, and what
 * sidecars enforce stays what was last verified; everything recovers without a human.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { bundleKey } from "../../policy/contract.ts";
import { workloadName } from "../../policy/workload-name.ts";
import { createKubeClient, loadKubeConfig } from "../../controller/kube/client.ts";
import { ensureSigner } from "../../controller/kube/signing-secret.ts";
import { createLog, silentLog } from "../../runtime/log.ts";
import { systemClock } from "../../runtime/clock.ts";
import { startApiServer } from "../support/api-server.ts";
import type { ApiServer } from "../support/api-server.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import {
  apply,
  conditionOf,
  createNamespace,
  createPod,
  installPostern,
  startTestController,
  statusOf,
  SYSTEM_NAMESPACE,
  waitForStatus,
} from "../support/kube.ts";
import type { RunningController } from "../support/kube.ts";
import { startNatsServer } from "../support/nats-server.ts";
import type { NatsServer } from "../support/nats-server.ts";
import { startOpenIdProvider } from "../support/openid-provider.ts";
import type { OpenIdProvider } from "../support/openid-provider.ts";
import { startTestSidecar } from "../support/sidecars.ts";
import type { TestSidecar } from "../support/sidecars.ts";
import { recordingUpstream } from "../support/upstream.ts";
import type { RecordingUpstream } from "../support/upstream.ts";
import { waitFor } from "../support/wait.ts";

const AUDIENCE = "https://orders.example.com";
const LABELS = { app: "orders" };
const NAMESPACE = "shop";
const POLICY = { namespace: NAMESPACE, name: "orders" };
const KEY = bundleKey({ namespace: NAMESPACE, name: workloadName(LABELS) });
const KEY_OPTIONS = { refreshMs: 1_000, deadlineMs: 1_000 };

await describeWithParts(
  ["etcd", "kube-apiserver", "kubectl", "nats-server"],
  "When something fails",
  () => {
    let api: ApiServer;
    let nats: NatsServer;
    let idp: OpenIdProvider;
    let upstream: RecordingUpstream;
    let controller: RunningController;
    let sidecar: TestSidecar;

    beforeAll(async () => {
      [api, nats, idp, upstream] = await Promise.all([
        startApiServer(),
        startNatsServer(),
        startOpenIdProvider(["orders:read"]),
        recordingUpstream(),
      ]);
      await installPostern(api);
      await createNamespace(api, NAMESPACE);
      await createPod(api, { namespace: NAMESPACE, name: "orders-1", labels: LABELS });
      controller = await startTestController(api, nats.url, { keys: KEY_OPTIONS });
      sidecar = await startTestSidecar({
        namespace: NAMESPACE,
        pod: "orders-1",
        labels: LABELS,
        natsUrl: nats.url,
        publicJwks: controller.signer.publicJwks,
        upstreamPort: upstream.port,
      });
      await apply(api, policy());
      await waitForStatus(api, POLICY, "enforced", enforced);
    }, 120_000);

    afterAll(async () => {
      await sidecar.close();
      await controller.close();
      await Promise.all([api.stop(), nats.close(), idp.close(), upstream.close()]);
    });

    const enforced = (status: {
      readonly conditions: readonly { readonly type: string; readonly status: string }[];
    }): boolean =>
      status.conditions.some(({ type, status: is }) => type === "Enforced" && is === "True");

    function policy(path = "/orders", jwks: object = { uri: idp.jwksUri }): object {
      return {
        apiVersion: "postern.dev/v1alpha1",
        kind: "ApiSecurityPolicy",
        metadata: POLICY,
        spec: {
          selector: { matchLabels: LABELS },
          authentication: {
            providers: [{ name: "corp", jwt: { issuer: idp.issuer, audiences: [AUDIENCE], jwks } }],
          },
          operations: { undeclared: "Deny", rules: [{ name: "r", methods: ["GET"], path }] },
        },
      };
    }

    function token(): Promise<string> {
      return idp.token({ scopes: ["orders:read"], audience: AUDIENCE });
    }

    async function ask(path: string, bearer?: string): Promise<string> {
      const answer = await fetch(`${sidecar.url}${path}`, {
        headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
      });
      const text = await answer.text();
      return answer.status === 200 ? "200" : (JSON.parse(text) as { code: string }).code;
    }

    function becomes(path: string, bearer: string | undefined, wanted: string): Promise<boolean> {
      return waitFor(
        `GET ${path} gives ${wanted}`,
        async () => (await ask(path, bearer)) === wanted,
        {
          withinMs: 20_000,
        },
      );
    }

    async function revision(): Promise<number> {
      const bytes = await controller.bus.bundles.get(KEY);
      const payload =
        Buffer.from(bytes ?? [])
          .toString()
          .split(".")[1] ?? "";
      const bundle = JSON.parse(Buffer.from(payload, "base64url").toString() || "{}") as {
        readonly revision?: number;
      };
      return bundle.revision ?? 0;
    }

    describe("NATS", () => {
      test("down: sidecars go on; back, and empty: everything is published again", async () => {
        const bearer = await token();
        const before = await revision();
        await nats.kill();
        expect(await ask("/orders", bearer)).toBe("200");
        expect(await ask("/orders")).toBe("authn.missing");
        await nats.wipe();
        await nats.start();
        const after = await waitFor(
          "the bundle is back on the bus",
          async () => {
            const now = await revision().catch(() => 0);
            return now > before ? now : undefined;
          },
          { withinMs: 20_000, everyMs: 50 },
        );
        expect(after).toBeGreaterThan(before);
        await waitForStatus(api, POLICY, "enforced again", enforced, 20_000);
        // And the bus works: an edit arrives.
        await apply(api, policy("/orders/{id}"));
        await becomes("/orders/1", bearer, "200");
        await apply(api, policy());
        await becomes("/orders", bearer, "200");
      }, 60_000);
    });

    describe("the API server", () => {
      test("killed: what is published stays; back: watches go on by themselves", async () => {
        const bearer = await token();
        const before = await revision();
        await api.kill();
        expect(await ask("/orders", bearer)).toBe("200");
        expect(await revision()).toBe(before);
        await api.restart();
        await apply(api, policy("/orders/{id}"));
        await becomes("/orders/1", bearer, "200");
        expect(await revision()).toBeGreaterThan(before);
        await waitForStatus(
          api,
          POLICY,
          "enforced",
          (now) => enforced(now) && now.sidecars === "1/1",
        );
        await apply(api, policy());
        await becomes("/orders", bearer, "200");
      }, 90_000);
    });

    describe("the controller", () => {
      test("restarted: nothing is published anew, and no status flaps", async () => {
        await waitForStatus(api, POLICY, "enforced", enforced);
        const before = await revision();
        const statusBefore = await statusOf(api, NAMESPACE, "orders");
        const versionBefore = await resourceVersion();
        await controller.close();
        const lines: string[] = [];
        const log = createLog({ level: "info", clock: systemClock, write: (l) => lines.push(l) });
        controller = await startTestController(api, nats.url, { keys: KEY_OPTIONS, log });
        await controller.controller.firstPass(AbortSignal.timeout(20_000));
        // Long enough for it to say that nobody reports, were it so minded: one heartbeat arrives meanwhile.
        const heard = () =>
          /reports_total\{outcome="taken"\} [1-9]/.test(controller.controller.metrics());
        await waitFor("a report is heard", heard, { withinMs: 10_000 });
        expect(lines.filter((line) => line.includes("Bundle published"))).toEqual([]);
        expect(lines.filter((line) => line.includes("Bundle renewed"))).toEqual([]);
        expect(await revision()).toBe(before);
        expect(await statusOf(api, NAMESPACE, "orders")).toEqual(statusBefore);
        // Not even written with the same content.
        expect(await resourceVersion()).toBe(versionBefore);
      }, 60_000);

      async function resourceVersion(): Promise<string> {
        return api.must([
          "get",
          "asp",
          "orders",
          `--namespace=${NAMESPACE}`,
          "-o",
          "jsonpath={.metadata.resourceVersion}",
        ]);
      }

      test("two controllers that start at once agree on one signing key", async () => {
        const namespace = "two-controllers";
        await createNamespace(api, namespace);
        const client = createKubeClient(loadKubeConfig(api.kubeconfig));
        const { signal } = new AbortController();
        const signers = await Promise.all(
          Array.from({ length: 4 }, () => ensureSigner(client, namespace, silentLog, signal)),
        );
        client.close();
        expect(new Set(signers.map(({ keyId }) => keyId)).size).toBe(1);
      });

      test("a signing key is made once: the restarted controller has the same", async () => {
        const { keyId } = controller.signer;
        const keys = await api.must([
          "get",
          "configmap",
          "postern-bundle-keys",
          `--namespace=${SYSTEM_NAMESPACE}`,
          "-o",
          "jsonpath={.data.jwks\\.json}",
        ]);
        const jwks = JSON.parse(keys) as { readonly keys: readonly { readonly kid: string }[] };
        expect(jwks.keys.map(({ kid }) => kid)).toEqual([keyId]);
        expect(keys).not.toContain('"d"');
      });
    });

    describe("the identity provider", () => {
      afterEach(async () => {
        await idp.up().catch(() => undefined);
        await apply(api, policy());
      });

      test("down: its last good keys still count; new keys count after its return", async () => {
        const bearer = await token();
        await idp.down();
        const failed = () => /key_sources\{state="known"\} 1/.test(controller.controller.metrics());
        const fetches = () =>
          Number(/key_fetches_total (\d+)/.exec(controller.controller.metrics())?.[1]);
        const before = fetches();
        await waitFor("a refresh was tried in vain", () => fetches() > before + 1, {
          withinMs: 15_000,
        });
        expect(failed()).toBe(true);
        expect(await ask("/orders", bearer)).toBe("200");
        idp.rotate();
        await idp.up();
        const rotated = await token();
        await becomes("/orders", rotated, "200");
        expect(await ask("/orders", bearer)).toBe("authn.key-unknown");
      }, 60_000);

      test("never reachable: only its tokens are refused, and the status says why", async () => {
        await apply(api, policy("/orders", { uri: "http://127.0.0.1:1/jwks" }));
        await becomes("/orders", await token(), "authn.keys-unavailable");
        const status = await waitForStatus(
          api,
          POLICY,
          "the status names the source",
          (now) => conditionOf(now, "Accepted")?.reason === "KeysUnavailable",
        );
        expect(conditionOf(status, "Accepted")).toMatchObject({ status: "True" });
        expect(conditionOf(status, "Accepted")?.message).toContain("http://127.0.0.1:1/jwks");
        const event = await waitFor("an event tells it", async () => {
          const text = await api.must(["get", "events", "-n", NAMESPACE]);
          return text.includes("KeysUnavailable");
        });
        expect(event).toBe(true);
      }, 60_000);
    });

    describe("a policy", () => {
      afterEach(async () => {
        await apply(api, policy());
        await becomes("/orders", await token(), "200");
      });

      test("invalid past admission: closes what it covers, and the status names the field", async () => {
        // As if an older CRD had let it in: admission is taken away for a moment.
        await api.must([
          "patch",
          "crd",
          "apisecuritypolicies.postern.dev",
          "--type=json",
          `--patch=${JSON.stringify([
            {
              op: "replace",
              path: "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
              value: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          ])}`,
        ]);
        await waitFor("the API server takes it", async () => {
          const bad = policy() as { spec: Record<string, unknown> };
          bad.spec = { ...bad.spec, mode: "enforce" };
          const { code } = await api.kubectl(["apply", "-f", "-"], JSON.stringify(bad));
          return code === 0;
        });
        await becomes("/orders", await token(), "policy.invalid");
        const status = await waitForStatus(
          api,
          POLICY,
          "the status names the field",
          (now) => conditionOf(now, "Accepted")?.status === "False",
        );
        expect(conditionOf(status, "Accepted")).toMatchObject({ reason: "Invalid" });
        expect(conditionOf(status, "Accepted")?.message).toContain("spec.mode");
        await installPostern(api);
      }, 60_000);

      test("with a Secret that is deleted: its tokens are refused, and the status says why", async () => {
        const jwks = await (await fetch(idp.jwksUri)).text();
        const secret = {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name: "keys", namespace: NAMESPACE },
          stringData: { "jwks.json": jwks },
        };
        await apply(
          api,
          secret,
          policy("/orders", { secretRef: { name: "keys", key: "jwks.json" } }),
        );
        const bearer = await token();
        await waitForStatus(
          api,
          POLICY,
          "enforced with the Secret's keys",
          (now) => enforced(now) && conditionOf(now, "Accepted")?.reason === "Accepted",
        );
        expect(await ask("/orders", bearer)).toBe("200");
        await api.must(["delete", "secret", "keys", "-n", NAMESPACE]);
        await becomes("/orders", bearer, "authn.keys-unavailable");
        const status = await waitForStatus(
          api,
          POLICY,
          "the status names the Secret",
          (now) => conditionOf(now, "Accepted")?.reason === "KeysUnavailable",
        );
        expect(conditionOf(status, "Accepted")?.message).toContain("Secret shop/keys");
        await apply(api, secret);
        await becomes("/orders", bearer, "200");
      }, 60_000);

      test("with a private key in its Secret: refused, and the key is quoted nowhere", async () => {
        const secret = {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name: "private", namespace: NAMESPACE },
          stringData: {
            "jwks.json": '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","d":"hunter2"}]}',
          },
        };
        await apply(
          api,
          secret,
          policy("/orders", { secretRef: { name: "private", key: "jwks.json" } }),
        );
        await becomes("/orders", await token(), "authn.keys-unavailable");
        const status = await waitForStatus(
          api,
          POLICY,
          "the status says private key",
          (now) => conditionOf(now, "Accepted")?.message.includes("private key") === true,
        );
        expect(JSON.stringify(status)).not.toContain("hunter2");
      }, 60_000);
    });
  },
);
