import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { ackSubject, bundleKey } from "../policy/contract.ts";
import { policyId, policyRef } from "../policy/policy-id.ts";
import { readBundle } from "../policy/read-bundle.ts";
import { readPolicy } from "../policy/read-policy.ts";
import type { SidecarReport } from "../policy/report.ts";
import type { Policy } from "../policy/resources.ts";
import type { Condition, PolicyStatus } from "../policy/status.ts";
import { InProcessBus } from "../runtime/bus/in-process.ts";
import { systemClock } from "../runtime/clock.ts";
import { PosternError } from "../runtime/error.ts";
import { createLog } from "../runtime/log.ts";
import { waitFor } from "../test/support/wait.ts";
import type { Cluster, ClusterEvent, Snapshot } from "./cluster.ts";
import { startController } from "./controller.ts";
import type { Controller } from "./controller.ts";
import { createSigner, generateSigningJwk } from "./sign.ts";
import type { Signer } from "./sign.ts";
import { createTicks } from "./ticks.ts";

const WORKLOAD = { namespace: "shop", name: "orders" };

function policy(name: string, generation = 1): Policy {
  const reading = readPolicy({
    apiVersion: "postern.dev/v1alpha1",
    kind: "ApiSecurityPolicy",
    metadata: { name, namespace: "shop", generation },
    spec: { selector: {}, operations: { undeclared: "Allow" } },
  });
  if (reading.kind !== "policy") throw new Error(JSON.stringify(reading.issues));
  return reading.policy;
}

/** A cluster in memory: what a test says is there, and what was written. */
class MemoryCluster implements Cluster {
  policies: Policy[] = [];
  pods: string[] = ["o-1"];
  readonly statuses = new Map<string, PolicyStatus>();
  readonly events: ClusterEvent[] = [];
  writes = 0;
  closed = false;
  /** Thrown by the next snapshots, one each. */
  readonly broken: Error[] = [];
  readonly refuse = new Map<string, PosternError>();
  readonly #ticks = createTicks();

  async synced(): Promise<void> {
    // It is complete from the start.
  }
  snapshot(): Snapshot {
    const error = this.broken.shift();
    if (error !== undefined) throw error;
    return {
      policies: this.policies,
      unreadable: [],
      namespaces: [{ name: "shop", labels: {} }],
      services: [],
      workloads: [{ ...WORKLOAD, labels: { app: "orders" }, pods: this.pods }],
      material: new Map(),
      statuses: this.statuses,
    };
  }
  change(): void {
    this.#ticks.tick();
  }
  changes(signal: AbortSignal): AsyncIterable<void> {
    return this.#ticks.each(signal);
  }
  async writeStatus(to: Pick<Policy, "kind" | "metadata">, status: PolicyStatus): Promise<void> {
    this.writes += 1;
    const id = policyId(policyRef(to));
    const refusal = this.refuse.get(id);
    if (refusal !== undefined) throw refusal;
    this.statuses.set(id, status);
  }
  emit(event: ClusterEvent): void {
    this.events.push(event);
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

describe("startController()", () => {
  let cluster: MemoryCluster;
  let bus: InProcessBus;
  let signer: Signer;
  let lines: string[];
  let controller: Controller;

  beforeEach(() => {
    cluster = new MemoryCluster();
    bus = new InProcessBus();
    signer = createSigner(generateSigningJwk());
    lines = [];
  });
  afterEach(async () => {
    await controller.close();
    await bus.close();
  });

  async function start(): Promise<void> {
    controller = await startController({
      cluster,
      bus,
      signer,
      clock: systemClock,
      log: createLog({ level: "debug", clock: systemClock, write: (line) => lines.push(line) }),
    });
    await controller.firstPass(AbortSignal.timeout(10_000));
  }

  async function bundleOnBus() {
    const bytes = await bus.bundles.get(bundleKey(WORKLOAD));
    const payload = bytes === undefined ? undefined : signer.verify(bytes);
    if (payload === undefined) return undefined;
    const reading = readBundle(JSON.parse(Buffer.from(payload).toString()));
    return reading.kind === "bundle" ? reading.bundle : undefined;
  }

  async function report(pod: string, parts: Partial<SidecarReport> = {}): Promise<void> {
    const bundle = await waitFor("a bundle", bundleOnBus);
    const { revision, digest, policies } = bundle;
    const value: SidecarReport = {
      workload: WORKLOAD,
      pod,
      state: "current",
      enforced: { revision, digest, policies, sinceMs: 1 },
      version: "1",
      sentAtMs: 1,
      ...parts,
    };
    bus.publish(ackSubject(WORKLOAD, pod), Buffer.from(JSON.stringify(value)));
  }

  const enforced = (name: string): Condition | undefined =>
    cluster.statuses
      .get(`ApiSecurityPolicy/shop/${name}`)
      ?.conditions.find(({ type }) => type === "Enforced");
  const publishedNames = async (): Promise<string> =>
    (await bundleOnBus())?.policies.map(({ name }) => name).join() ?? "";

  test("publishes, hears the sidecar, writes the status, and tells it as an event", async () => {
    cluster.policies = [policy("a")];
    await start();
    await report("o-1");
    await waitFor("enforced", () => enforced("a")?.status === "True");
    expect(cluster.events.map(({ reason, name }) => [reason, name])).toEqual([["Enforced", "a"]]);
    expect(controller.notReady()).toEqual([]);
  });

  test("follows a change of the cluster", async () => {
    await start();
    await waitFor("closed", async () => (await bundleOnBus())?.closed?.code === "policy.none");
    cluster.policies = [policy("a"), policy("b")];
    cluster.change();
    await waitFor("both are published", async () => (await publishedNames()) === "a,b");
  });

  test("a burst of changes is a few passes", async () => {
    await start();
    const passes = () => Number(/reconcile_passes_total (\d+)/.exec(controller.metrics())?.[1]);
    const before = passes();
    for (let index = 1; index <= 200; index += 1) {
      cluster.policies = [policy("a", index)];
      cluster.change();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await waitFor("the last", async () => (await bundleOnBus())?.policies[0]?.generation === 200);
    expect(passes() - before).toBeLessThan(20);
  });

  test("a pass that fails is logged, counted and tried again", async () => {
    await start();
    cluster.policies = [policy("a")];
    cluster.broken.push(new TypeError("cannot read"), new TypeError("still not"));
    cluster.change();
    await waitFor("it is published all the same", async () => (await publishedNames()) === "a");
    expect(lines.join("")).toContain("cannot read");
    expect(controller.metrics()).toMatch(/loop_failures_total\{loop="(reconcile|status)"\} [1-9]/);
  });

  test("one policy whose status is rejected holds up no other", async () => {
    cluster.policies = [policy("a"), policy("b")];
    cluster.refuse.set(
      "ApiSecurityPolicy/shop/a",
      new PosternError("cluster.rejected", "the status is too large"),
    );
    await start();
    await waitFor("b has a status", () => enforced("b"));
    const { writes } = cluster;
    await report("o-1");
    await waitFor("b is enforced", () => enforced("b")?.status === "True");
    expect(enforced("a")).toBeUndefined();
    // Cooling down: a was not tried at every look.
    expect(cluster.writes - writes).toBeLessThan(5);
  });

  test("an API server that is away gets its statuses when it is back", async () => {
    cluster.policies = [policy("a")];
    const away = new PosternError("cluster.unavailable", "no answer");
    cluster.refuse.set("ApiSecurityPolicy/shop/a", away);
    await start();
    await waitFor("a write failed", () => cluster.writes > 0);
    cluster.refuse.clear();
    await waitFor("the status is there", () => enforced("a"), { withinMs: 5_000 });
  });

  test("a pod that appears counts at once, though it may be only starting", async () => {
    cluster.policies = [policy("a")];
    await start();
    await report("o-1");
    await waitFor(
      "1/1",
      () => cluster.statuses.get("ApiSecurityPolicy/shop/a")?.sidecars === "1/1",
    );
    cluster.pods = ["o-1", "o-2"];
    cluster.change();
    await waitFor(
      "1/2",
      () => cluster.statuses.get("ApiSecurityPolicy/shop/a")?.sidecars === "1/2",
    );
    expect(enforced("a")).toMatchObject({ status: "False", reason: "Progressing" });
  });

  test("a sidecar that refuses is told by name, in status, event and log", async () => {
    cluster.policies = [policy("a")];
    await start();
    await report("o-1", {
      state: "waiting",
      enforced: { revision: 1, digest: "sha256:other", policies: [], sinceMs: 1 },
      refused: { code: "bundle.signature", detail: "no key has this kid" },
    });
    await waitFor("it is told", () => enforced("a")?.reason === "SidecarRefused");
    expect(enforced("a")?.message).toContain("o-1 (refuses its bundle, bundle.signature");
    expect(cluster.events.map(({ reason }) => reason)).toContain("SidecarRefused");
  });

  test("a sidecar that has a newer revision gets one that is newer still", async () => {
    await start();
    const before = await waitFor("a bundle", bundleOnBus);
    const theirs = before.revision + 3_600_000;
    await report("o-1", {
      enforced: { revision: theirs, digest: before.digest, policies: [], sinceMs: 1 },
      refused: { code: "bundle.replayed", detail: "older", revision: before.revision },
    });
    await waitFor("the jump", async () => ((await bundleOnBus())?.revision ?? 0) > theirs);
  });

  test("reports of pods that the cluster does not know change nothing", async () => {
    cluster.policies = [policy("a")];
    await start();
    await report("stranger");
    await waitFor("it is counted", () =>
      controller.metrics().includes('sidecar_reports_total{outcome="ignored"} 1'),
    );
    expect(enforced("a")?.status ?? "False").toBe("False");
  });

  test("close() ends every loop, leaves what is published, and may be called twice", async () => {
    cluster.policies = [policy("a")];
    await start();
    await waitFor("published", async () => (await publishedNames()) === "a");
    await Promise.all([controller.close(), controller.close()]);
    expect(cluster.closed).toBe(true);
    expect(await publishedNames()).toBe("a");
    cluster.policies = [];
    cluster.change();
    expect(await publishedNames()).toBe("a");
  });
});
