/**
 * The main job on real parts: a policy is applied with kubectl to a real API server, the controller (with the
 * rights that it ships with) compiles, signs and publishes it over a real NATS, real sidecars enforce it on
 * real requests with tokens of a real OpenID provider, and its status says so.
 */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { compactVerify, importJWK } from "jose";
import { bundleKey } from "../../policy/contract.ts";
import { readBundle } from "../../policy/read-bundle.ts";
import { workloadName } from "../../policy/workload-name.ts";
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
const POLICY = { namespace: "shop", name: "orders" };
const PODS = ["orders-7c9f-x1", "orders-7c9f-x2"];

await describeWithParts(
  ["etcd", "kube-apiserver", "kubectl", "nats-server"],
  "The main job, from kubectl apply to a refused request",
  () => {
    let api: ApiServer;
    let nats: NatsServer;
    let idp: OpenIdProvider;
    let upstream: RecordingUpstream;
    let controller: RunningController;
    const sidecars: TestSidecar[] = [];

    beforeAll(async () => {
      [api, nats, idp, upstream] = await Promise.all([
        startApiServer(),
        startNatsServer(),
        startOpenIdProvider(["orders:read", "orders:write"]),
        recordingUpstream(),
      ]);
      await installPostern(api);
      await createNamespace(api, POLICY.namespace);
      controller = await startTestController(api, nats.url);
      for (const name of PODS) {
        await createPod(api, { namespace: POLICY.namespace, name, labels: LABELS });
      }
      const config = JSON.parse(
        await api.must([
          "get",
          "configmap",
          "postern-bundle-keys",
          `--namespace=${SYSTEM_NAMESPACE}`,
          "-o",
          "json",
        ]),
      ) as { readonly data: Readonly<Record<string, string>> };
      for (const pod of PODS) {
        sidecars.push(
          await startTestSidecar({
            namespace: POLICY.namespace,
            pod,
            labels: LABELS,
            natsUrl: nats.url,
            publicJwks: JSON.parse(config.data["jwks.json"] ?? "{}"),
            upstreamPort: upstream.port,
          }),
        );
      }
    }, 120_000);

    afterAll(async () => {
      for (const sidecar of sidecars) await sidecar.close();
      await controller.close();
      await Promise.all([api.stop(), nats.close(), idp.close(), upstream.close()]);
    });

    const policy = (scope: string): object => ({
      apiVersion: "postern.dev/v1alpha1",
      kind: "ApiSecurityPolicy",
      metadata: POLICY,
      spec: {
        selector: { matchLabels: LABELS },
        authentication: {
          providers: [
            {
              name: "corp",
              jwt: { issuer: idp.issuer, audiences: [AUDIENCE], jwks: { discovery: {} } },
            },
          ],
        },
        operations: {
          undeclared: "Deny",
          rules: [
            { name: "list", methods: ["GET"], path: "/orders", scopes: { all: [scope] } },
            { name: "read", methods: ["GET"], path: "/orders/{id}", scopes: { all: [scope] } },
          ],
        },
      },
    });

    async function ask(
      index: number,
      path: string,
      token?: string,
    ): Promise<{ readonly status: number; readonly code: unknown }> {
      const answer = await fetch(`${sidecars[index]?.url}${path}`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      });
      const text = await answer.text();
      const problem = answer.headers.get("content-type")?.startsWith("application/problem+json");
      return {
        status: answer.status,
        code: problem === true ? (JSON.parse(text) as { code: unknown }).code : undefined,
      };
    }

    test("without a policy, everything is refused by name", async () => {
      await waitFor("the closed bundle arrives", async () => {
        const { code } = await ask(0, "/orders");
        return code === "policy.none";
      });
      expect(await ask(0, "/orders")).toEqual({ status: 503, code: "policy.none" });
    });

    test("an applied policy is enforced by every sidecar, and its status says so", async () => {
      await apply(api, policy("orders:read"));
      const status = await waitForStatus(
        api,
        POLICY,
        "2/2 sidecars enforce generation 1",
        (now) => now.sidecars === "2/2" && conditionOf(now, "Enforced")?.status === "True",
      );
      expect(conditionOf(status, "Accepted")).toMatchObject({
        status: "True",
        reason: "Accepted",
        observedGeneration: 1,
      });
      expect(conditionOf(status, "Programmed")).toMatchObject({ status: "True" });
      expect(conditionOf(status, "Enforced")?.message).toBe("2 of 2 sidecars enforce generation 1");

      const good = await idp.token({ scopes: ["orders:read"], audience: AUDIENCE });
      const wrongScope = await idp.token({ scopes: ["orders:write"], audience: AUDIENCE });
      const wrongAudience = await idp.token({
        scopes: ["orders:read"],
        audience: "https://other.example.com",
      });
      for (const index of [0, 1]) {
        expect(await ask(index, "/orders/1", good)).toEqual({ status: 200, code: undefined });
        expect(await ask(index, "/orders/1")).toEqual({ status: 401, code: "authn.missing" });
        expect(await ask(index, "/orders/1", wrongScope)).toMatchObject({ code: "authz.scope" });
        expect(await ask(index, "/orders/1", wrongAudience)).toMatchObject({
          code: "authn.audience",
        });
        expect(await ask(index, "/admin", good)).toMatchObject({ code: "operation.undeclared" });
      }
    });

    test("what is on the bus is signed with the key that Kubernetes hands to sidecars", async () => {
      const workload = { namespace: POLICY.namespace, name: workloadName(LABELS) };
      const bytes = await controller.bus.bundles.get(bundleKey(workload));
      const key = await importJWK({ ...controller.signer.publicJwks.keys[0] }, "EdDSA");
      const { payload, protectedHeader } = await compactVerify(bytes ?? new Uint8Array(), key);
      expect(protectedHeader.typ).toBe("postern-bundle+jws");
      const reading = readBundle(JSON.parse(Buffer.from(payload).toString()));
      expect(reading).toMatchObject({
        kind: "bundle",
        bundle: { workload, policies: [{ kind: "ApiSecurityPolicy", ...POLICY, generation: 1 }] },
      });
    });

    test("kubectl get shows Accepted, Enforced, Mode and Sidecars", async () => {
      const table = await api.must(["get", "asp", "-n", POLICY.namespace, "--no-headers"]);
      expect(table.trim().split(/\s+/).slice(0, 5)).toEqual([
        "orders",
        "True",
        "True",
        "Enforce",
        "2/2",
      ]);
    });

    test("an event tells that the policy is enforced", async () => {
      const events = await waitFor(
        "the event",
        async () => {
          const text = await api.must(["get", "events", "-n", POLICY.namespace, "-o", "json"]);
          const { items } = JSON.parse(text) as {
            readonly items: readonly { reason: string; involvedObject: { name: string } }[];
          };
          return items.filter(({ reason }) => reason === "Enforced")[0];
        },
        { everyMs: 100 },
      );
      expect(events.involvedObject.name).toBe("orders");
    });

    test("an edit is enforced within a second", async () => {
      const token = await idp.token({ scopes: ["orders:read"], audience: AUDIENCE });
      expect((await ask(0, "/orders/1", token)).status).toBe(200);
      await apply(api, policy("orders:write"));
      await waitFor(
        "the new scope is asked for",
        async () => (await ask(0, "/orders/1", token)).code === "authz.scope",
        { withinMs: 1_000, everyMs: 5 },
      );
      const status = await waitForStatus(
        api,
        POLICY,
        "2/2 sidecars enforce generation 2",
        (now) => now.observedGeneration === 2 && now.sidecars === "2/2",
      );
      expect(conditionOf(status, "Enforced")).toMatchObject({
        status: "True",
        observedGeneration: 2,
      });
    });

    test("a pod that has ended, or terminates, counts no more; a new one does", async () => {
      const name = "orders-7c9f-x3";
      await createPod(api, { namespace: POLICY.namespace, name, labels: LABELS });
      await waitForStatus(api, POLICY, "2/3", ({ sidecars }) => sidecars === "2/3");
      await api.must([
        "delete",
        "pod",
        name,
        "-n",
        POLICY.namespace,
        "--grace-period=0",
        "--force",
      ]);
      await waitForStatus(api, POLICY, "2/2", ({ sidecars }) => sidecars === "2/2");
    });

    test("a sidecar that dies is named within 15 s", async () => {
      await sidecars[1]?.vanish();
      const status = await waitForStatus(
        api,
        POLICY,
        "1/2, with the laggard named",
        ({ sidecars }) => sidecars === "1/2",
        15_000,
      );
      expect(conditionOf(status, "Enforced")).toMatchObject({ status: "False", reason: "Lagging" });
      expect(conditionOf(status, "Enforced")?.message).toMatch(
        /^1 of 2 sidecars enforce generation 2; lagging: orders-7c9f-x2 \(no report for \d+s\)$/,
      );
    });
  },
);
