import { describe, expect, test } from "@jest/globals";
import { HEARTBEAT_MS, ackSubject } from "../policy/contract.ts";
import { readReport } from "../policy/read-report.ts";
import type { SidecarReport } from "../policy/report.ts";
import { BoundedQueue } from "../runtime/bounded-queue.ts";
import type { BusState } from "../runtime/bus/bus.ts";
import { ManualClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { bundle } from "../test/support/bundles.ts";
import { BundleStore } from "./bundle/store.ts";
import { startReporting } from "./report.ts";

const WORKLOAD = { namespace: "shop", name: "orders" } as const;
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const clock = new ManualClock();
  const store = new BundleStore<string>({
    prepare: async () => "prepared",
    prepareClosed: (code) => code,
    maxStaleMs: 3_600_000,
    clock,
    log: silentLog,
  });
  const sent: { readonly subject: string; readonly report: SidecarReport }[] = [];
  const states = new BoundedQueue<BusState>({ capacity: 8, drop: "oldest" });
  // A recorder: what matters is what was published, not who would carry it.
  const bus = {
    publish: (subject: string, data: Uint8Array) => {
      const report = readReport(JSON.parse(Buffer.from(data).toString("utf8")));
      if (report === undefined) throw new Error("The controller cannot read it");
      sent.push({ subject, report });
    },
    states: (signal: AbortSignal) => {
      signal.addEventListener("abort", () => states.end());
      return states;
    },
  };
  const options = {
    bus,
    store,
    workload: WORKLOAD,
    pod: "p",
    version: "1.2.3",
    clock,
    log: silentLog,
  };
  return { clock, store, sent, states, options };
}

describe("startReporting()", () => {
  test("reports on connection, on every change and at the end", async () => {
    const { store, sent, states, options } = setUp();
    const reporting = startReporting(options);
    states.push("connected");
    await tick();
    await store.offer({ kind: "bundle", bundle: bundle({ issuedAtMs: 1_700_000_000_000 }) });
    await store.offer({ kind: "refused", code: "bundle.digest", detail: "d", revision: 8 });
    reporting[Symbol.dispose]();
    reporting[Symbol.dispose]();
    expect(sent.map(({ report }) => report.state)).toEqual([
      "waiting",
      "current",
      "current",
      "leaving",
    ]);
    expect(new Set(sent.map(({ subject }) => subject))).toEqual(
      new Set([ackSubject(WORKLOAD, "p")]),
    );
    expect(sent[0]?.report.enforced).toBeUndefined();
    expect(sent[1]?.report.enforced).toMatchObject({ revision: 7 });
    expect(sent[2]?.report.refused).toEqual({ code: "bundle.digest", detail: "d", revision: 8 });
  });

  test("beats, and again at once after a reconnect", async () => {
    const { clock, sent, states, options } = setUp();
    using _ = startReporting(options);
    await clock.advance(HEARTBEAT_MS * 1.1);
    expect(sent).toHaveLength(1);
    await clock.advance(HEARTBEAT_MS * 10);
    expect(sent.length).toBeGreaterThanOrEqual(10);
    expect(sent.length).toBeLessThanOrEqual(13);
    const before = sent.length;
    states.push("disconnected");
    states.push("connected");
    await tick();
    expect(sent).toHaveLength(before + 1);
  });

  test("is silent once it has ended", async () => {
    const { clock, store, sent, options } = setUp();
    startReporting(options)[Symbol.dispose]();
    await clock.advance(HEARTBEAT_MS * 5);
    await store.offer({ kind: "bundle", bundle: bundle() });
    expect(sent).toHaveLength(1);
  });

  test("cuts a long reason to what the controller reads", async () => {
    const { store, sent, options } = setUp();
    using _ = startReporting(options);
    await store.offer({ kind: "refused", code: "bundle.unknown", detail: "x".repeat(100_000) });
    expect(sent.at(-1)?.report.refused?.detail.length).toBeLessThanOrEqual(4_096);
  });
});
