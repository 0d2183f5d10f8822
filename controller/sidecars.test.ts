import { beforeEach, describe, expect, test } from "@jest/globals";
import { ackSubject } from "../policy/contract.ts";
import type { SidecarReport } from "../policy/report.ts";
import type { Workload } from "../policy/resources.ts";
import type { BusMessage } from "../runtime/bus/bus.ts";
import { ManualClock } from "../runtime/clock.ts";
import { createSidecars } from "./sidecars.ts";
import type { Sidecars } from "./sidecars.ts";

const ORDERS: Workload = { namespace: "shop", name: "orders", labels: {}, pods: ["o-1", "o-2"] };

function report(parts: Partial<SidecarReport> = {}): SidecarReport {
  return {
    workload: { namespace: "shop", name: "orders" },
    pod: "o-1",
    state: "current",
    enforced: { revision: 1, digest: "sha256:aa", policies: [], sinceMs: 1 },
    version: "1",
    sentAtMs: 1,
    ...parts,
  };
}

function message(
  value: SidecarReport,
  subject = ackSubject(value.workload, value.pod),
): BusMessage {
  return { subject, data: Buffer.from(JSON.stringify(value)) };
}

describe("createSidecars()", () => {
  let clock: ManualClock;
  let sidecars: Sidecars;

  beforeEach(() => {
    clock = new ManualClock();
    sidecars = createSidecars(clock);
    sidecars.expect([ORDERS]);
  });

  const kindOf = (pod: string): string | undefined => sidecars.states().get(`shop/${pod}`)?.kind;

  test("a pod starts, reports, and is lost after 10 s of silence", async () => {
    expect(kindOf("o-1")).toBe("starting");
    expect(sidecars.take(message(report())).kind).toBe("changed");
    expect(kindOf("o-1")).toBe("reporting");
    await clock.advance(9_999);
    expect(kindOf("o-1")).toBe("reporting");
    await clock.advance(1);
    expect(sidecars.states().get("shop/o-1")).toEqual({
      kind: "lost",
      reported: true,
      silentMs: 10_000,
    });
    expect(sidecars.states().get("shop/o-2")).toEqual({
      kind: "lost",
      reported: false,
      silentMs: 10_000,
    });
    expect(sidecars.take(message(report())).kind).toBe("changed");
    expect(kindOf("o-1")).toBe("reporting");
  });

  test("a heartbeat that says nothing new is told apart from news", () => {
    sidecars.take(message(report()));
    expect(sidecars.take(message(report({ sentAtMs: 2 }))).kind).toBe("same");
    const news = report({
      enforced: { revision: 2, digest: "sha256:bb", policies: [], sinceMs: 1 },
    });
    expect(sidecars.take(message(news)).kind).toBe("changed");
    const refusing = { ...news, refused: { code: "bundle.digest", detail: "x" } as const };
    expect(sidecars.take(message(refusing)).kind).toBe("changed");
  });

  test("a sidecar that leaves does not count, until its pod should be gone or have another", async () => {
    sidecars.take(message(report({ state: "leaving" })));
    expect(kindOf("o-1")).toBe("leaving");
    await clock.advance(29_999);
    expect(kindOf("o-1")).toBe("leaving");
    await clock.advance(1);
    expect(kindOf("o-1")).toBe("lost");
  });

  test("a pod that is gone is forgotten", () => {
    sidecars.take(message(report()));
    sidecars.expect([{ ...ORDERS, pods: ["o-2"] }]);
    expect([...sidecars.states().keys()]).toEqual(["shop/o-2"]);
  });

  test("a pod whose labels change belongs to another workload, and has to report anew", () => {
    sidecars.take(message(report()));
    sidecars.expect([{ ...ORDERS, name: "orders-v2" }]);
    expect(kindOf("o-1")).toBe("starting");
  });

  test("a report that is faster than the watch counts once the pod is known", () => {
    expect(sidecars.take(message(report({ pod: "o-3" }))).kind).toBe("ignored");
    sidecars.expect([{ ...ORDERS, pods: ["o-1", "o-3"] }]);
    expect(kindOf("o-3")).toBe("reporting");
  });

  test("reports of unknown pods are bounded: the oldest is dropped", () => {
    for (let index = 0; index <= 1_024; index += 1) {
      sidecars.take(message(report({ pod: `x-${index}` })));
    }
    sidecars.expect([{ ...ORDERS, pods: ["x-0", "x-1", "x-1024"] }]);
    expect(kindOf("x-0")).toBe("starting");
    expect(kindOf("x-1")).toBe("reporting");
    expect(kindOf("x-1024")).toBe("reporting");
  });

  test.each<[string, BusMessage]>([
    ["no JSON", { subject: "postern.ack.shop.orders.o-1", data: Buffer.from("{") }],
    ["no report", { subject: "postern.ack.shop.orders.o-1", data: Buffer.from("{}") }],
    ["another pod's subject", message(report(), "postern.ack.shop.orders.o-2")],
    ["another workload", message(report({ workload: { namespace: "shop", name: "other" } }))],
    [
      "too much",
      { subject: "postern.ack.shop.orders.o-1", data: Buffer.alloc(1024 * 1024 + 1, " ") },
    ],
  ])("ignores and counts %s", (_title, bad) => {
    expect(sidecars.take(bad).kind).toBe("ignored");
    expect(sidecars.counts).toMatchObject({ reports: 0, ignored: 1 });
    expect(kindOf("o-1")).toBe("starting");
  });
});
