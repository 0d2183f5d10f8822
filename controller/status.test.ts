import { describe, expect, test } from "@jest/globals";
import type { PolicyRef } from "../policy/bundle.ts";
import type { SidecarReport } from "../policy/report.ts";
import type { Workload } from "../policy/resources.ts";
import type { Condition, ConditionType, PolicyStatus } from "../policy/status.ts";
import { roughly } from "./enforced.ts";
import type { Published } from "./enforced.ts";
import type { SidecarState } from "./sidecars.ts";
import { podKey } from "./sidecars.ts";
import { policyStatus, sameStatus } from "./status.ts";
import type { StatusInput } from "./status.ts";

const NOW = Date.parse("2026-01-02T03:04:05.678Z");
const POLICY: PolicyRef = {
  kind: "ApiSecurityPolicy",
  namespace: "shop",
  name: "orders",
  generation: 7,
};

function workload(pods: number, name = "orders"): Workload {
  return {
    namespace: "shop",
    name,
    labels: { app: name },
    pods: Array.from({ length: pods }, (_, index) => `${name}-${index}`),
  };
}

function published(parts: Partial<Published> = {}): Published {
  return { revision: 93, digest: "sha256:aa", policies: [POLICY], sinceMs: NOW - 60_000, ...parts };
}

function reporting(parts: Partial<SidecarReport> = {}): SidecarState {
  return {
    kind: "reporting",
    report: {
      workload: { namespace: "shop", name: "orders" },
      pod: "irrelevant here",
      state: "current",
      enforced: { revision: 93, digest: "sha256:aa", policies: [POLICY], sinceMs: NOW - 50_000 },
      version: "1",
      sentAtMs: NOW,
      ...parts,
    },
  };
}

function states(
  all: readonly Workload[],
  of: (pod: string) => SidecarState,
): Map<string, SidecarState> {
  return new Map(
    all.flatMap(({ namespace, pods }) =>
      pods.map((pod) => [podKey(namespace, pod), of(pod)] as const),
    ),
  );
}

function input(parts: Partial<StatusInput> = {}): StatusInput {
  const workloads = parts.workloads ?? [workload(2)];
  return {
    policy: POLICY,
    accepted: { status: "True", reason: "Accepted", message: "The policy is valid" },
    workloads,
    published: () => published(),
    failure: () => undefined,
    busKnown: true,
    sidecars: states(workloads, () => reporting()),
    bus: "connected",
    settling: false,
    previous: undefined,
    nowMs: NOW,
    ...parts,
  };
}

function condition(status: PolicyStatus, type: ConditionType): Condition {
  const found = status.conditions.find((one) => one.type === type);
  if (found === undefined) throw new Error(`There is no condition ${type}`);
  return found;
}

const lost = (silentMs: number, reported = true): SidecarState => ({
  kind: "lost",
  reported,
  silentMs,
});

describe("policyStatus()", () => {
  test("says Enforced when every sidecar reports the published digest and this generation", () => {
    expect(policyStatus(input())).toEqual({
      observedGeneration: 7,
      conditions: [
        {
          type: "Accepted",
          status: "True",
          reason: "Accepted",
          message: "The policy is valid",
          observedGeneration: 7,
          lastTransitionTime: "2026-01-02T03:04:05Z",
        },
        {
          type: "Programmed",
          status: "True",
          reason: "Programmed",
          message: "The bundles of 1 workload are on the bus",
          observedGeneration: 7,
          lastTransitionTime: "2026-01-02T03:04:05Z",
        },
        {
          type: "Enforced",
          status: "True",
          reason: "Enforced",
          message: "2 of 2 sidecars enforce generation 7",
          observedGeneration: 7,
          lastTransitionTime: "2026-01-02T03:04:05Z",
        },
      ],
      workloads: [
        {
          namespace: "shop",
          name: "orders",
          revision: 93,
          digest: "sha256:aa",
          sidecars: 2,
          enforcing: 2,
        },
      ],
      sidecars: "2/2",
    });
  });

  test.each<[string, SidecarState, string, string]>([
    ["is silent", lost(42_000), "Lagging", "orders-1 (no report for 30s)"],
    ["never spoke", lost(42_000, false), "Lagging", "orders-1 (never reported, known for 30s)"],
    ["is new", { kind: "starting" }, "Progressing", "orders-1 (starts)"],
    [
      "waits for its first bundle",
      reportingWithout("waiting"),
      "Lagging",
      "orders-1 (waits for its first bundle)",
    ],
    [
      "has an older bundle",
      reporting({
        enforced: { revision: 92, digest: "sha256:bb", policies: [POLICY], sinceMs: NOW },
      }),
      "Lagging",
      "orders-1 (enforces revision 92)",
    ],
    [
      "has the digest without this generation",
      reporting({
        enforced: {
          revision: 93,
          digest: "sha256:aa",
          policies: [{ ...POLICY, generation: 6 }],
          sinceMs: NOW,
        },
      }),
      "Lagging",
      "orders-1 (waits for this generation)",
    ],
    ["is stale", reporting({ state: "stale" }), "Lagging", "orders-1 (its bundle is stale)"],
    [
      "refuses its bundle",
      reporting({
        enforced: { revision: 92, digest: "sha256:bb", policies: [], sinceMs: NOW },
        refused: { code: "bundle.signature", detail: "no key has this kid" },
      }),
      "SidecarRefused",
      "orders-1 (refuses its bundle, bundle.signature: no key has this kid)",
    ],
  ])("names a sidecar that %s", (_title, state, reason, laggard) => {
    const workloads = [workload(2)];
    const status = policyStatus(
      input({
        workloads,
        sidecars: states(workloads, (pod) => (pod === "orders-1" ? state : reporting())),
      }),
    );
    expect(condition(status, "Enforced")).toMatchObject({
      status: "False",
      reason,
      message: `1 of 2 sidecars enforce generation 7; lagging: ${laggard}`,
    });
    expect(status.sidecars).toBe("1/2");
  });

  test("calls what was published a moment ago progressing, not lagging", () => {
    const status = policyStatus(
      input({
        published: () => published({ digest: "sha256:cc", sinceMs: NOW - 1_000 }),
      }),
    );
    expect(condition(status, "Enforced").reason).toBe("Progressing");
  });

  test("counts a sidecar that refused a replay and has what is published", () => {
    const workloads = [workload(1)];
    const refused = { code: "bundle.replayed", detail: "older", revision: 90 } as const;
    const status = policyStatus(
      input({ workloads, sidecars: states(workloads, () => reporting({ refused })) }),
    );
    expect(condition(status, "Enforced").status).toBe("True");
  });

  test("does not count a sidecar that leaves in order", () => {
    const workloads = [workload(2)];
    const status = policyStatus(
      input({
        workloads,
        sidecars: states(workloads, (pod) =>
          pod === "orders-1" ? { kind: "leaving" } : reporting(),
        ),
      }),
    );
    expect(status.sidecars).toBe("1/1");
    expect(condition(status, "Enforced").message).toBe("1 of 1 sidecar enforces generation 7");
  });

  test("counts a pod that nothing is known of as lagging, never as enforcing", () => {
    const status = policyStatus(input({ sidecars: new Map() }));
    expect(status.sidecars).toBe("0/2");
    expect(condition(status, "Enforced").status).toBe("False");
  });

  test("says Unknown when there is no sidecar at all", () => {
    const status = policyStatus(input({ workloads: [] }));
    expect(condition(status, "Enforced")).toMatchObject({
      status: "Unknown",
      reason: "NoSidecars",
    });
    expect(condition(status, "Programmed")).toMatchObject({
      status: "Unknown",
      reason: "NoWorkloads",
    });
    expect(status.sidecars).toBe("0/0");
  });

  test("names at most five laggards, those that need a human first, and counts the rest", () => {
    const workloads = [workload(12)];
    const status = policyStatus(
      input({
        workloads,
        sidecars: states(workloads, (pod) =>
          pod === "orders-9"
            ? reporting({
                enforced: { revision: 1, digest: "sha256:bb", policies: [], sinceMs: 0 },
                refused: { code: "bundle.digest", detail: "differs" },
              })
            : pod === "orders-0"
              ? reporting()
              : lost(20_000),
        ),
      }),
    );
    const { message } = condition(status, "Enforced");
    expect(message).toMatch(/^1 of 12 sidecars enforce generation 7; lagging: orders-9 \(refuses/);
    expect(message).toMatch(/, orders-1 \(no report for 10s\).* and 6 more$/);
  });

  test("names the namespace of a laggard where there are several", () => {
    const workloads = [workload(1), { ...workload(1), namespace: "bank" }];
    const status = policyStatus(input({ workloads, sidecars: states(workloads, () => lost(1e4)) }));
    expect(condition(status, "Enforced").message).toContain("bank/orders-0 (");
  });

  test("puts the workloads that lag first, and at most 100", () => {
    const workloads = Array.from({ length: 120 }, (_, index) => workload(1, `w${index + 100}`));
    const status = policyStatus(
      input({
        workloads,
        sidecars: states(workloads, (pod) => (pod === "w219-0" ? lost(1e4) : reporting())),
      }),
    );
    expect(status.workloads).toHaveLength(100);
    expect(status.workloads[0]).toMatchObject({ name: "w219", enforcing: 0, sidecars: 1 });
    expect(status.workloads[1]).toMatchObject({ name: "w100" });
    expect(status.sidecars).toBe("119/120");
  });

  test("keeps a message within bounds, whatever a sidecar says", () => {
    const workloads = [workload(1)];
    const status = policyStatus(
      input({
        workloads,
        sidecars: states(workloads, () =>
          reporting({
            enforced: { revision: 1, digest: "sha256:bb", policies: [], sinceMs: 0 },
            refused: { code: "bundle.unknown", detail: "x".repeat(4_096) },
          }),
        ),
      }),
    );
    expect(condition(status, "Enforced").message.length).toBeLessThan(2_100);
  });

  describe("Programmed", () => {
    test("is False while the bus has an older generation", () => {
      const status = policyStatus(
        input({ published: () => published({ policies: [{ ...POLICY, generation: 6 }] }) }),
      );
      expect(condition(status, "Programmed")).toMatchObject({
        status: "False",
        reason: "Pending",
        message: "0 of 1 workload programmed; missing: shop/orders",
      });
    });

    test("says why a bundle could not be published", () => {
      const status = policyStatus(
        input({ published: () => undefined, failure: () => "the bundle is too large" }),
      );
      expect(condition(status, "Programmed").message).toBe(
        "0 of 1 workload programmed; missing: shop/orders (the bundle is too large)",
      );
    });

    test("says BusUnavailable when the bus is away", () => {
      const status = policyStatus(input({ published: () => undefined, bus: "disconnected" }));
      expect(condition(status, "Programmed")).toMatchObject({
        status: "False",
        reason: "BusUnavailable",
      });
    });

    test("stays True while the bus is away and has what is wanted", () => {
      const status = policyStatus(input({ bus: "disconnected" }));
      expect(condition(status, "Programmed").status).toBe("True");
    });

    test("is Unknown, not False, when the bus was never seen", () => {
      const status = policyStatus(
        input({ busKnown: false, bus: "disconnected", published: () => undefined }),
      );
      expect(condition(status, "Programmed")).toMatchObject({
        status: "Unknown",
        reason: "BusUnavailable",
      });
      expect(condition(status, "Enforced")).toMatchObject({
        status: "Unknown",
        reason: "BusUnavailable",
      });
    });
  });

  describe("while the bus is away", () => {
    test("silence is Unknown, not False: nobody can report", () => {
      const workloads = [workload(2)];
      const status = policyStatus(
        input({
          workloads,
          bus: "disconnected",
          sidecars: states(workloads, () => lost(60_000)),
        }),
      );
      expect(condition(status, "Enforced")).toMatchObject({
        status: "Unknown",
        reason: "BusUnavailable",
      });
    });
  });

  describe("while it has only begun to listen", () => {
    const workloads = [workload(2)];
    const silent = states(workloads, () => ({ kind: "starting" }));
    const previous = policyStatus(input({ workloads, nowMs: NOW - 60_000 }));

    test("keeps what was said of the same sidecars", () => {
      const status = policyStatus(
        input({ workloads, sidecars: silent, settling: true, previous, nowMs: NOW }),
      );
      expect(sameStatus(previous, status)).toBe(true);
      expect(status).toEqual(previous);
    });

    test("does not keep it for another generation", () => {
      const next = { ...POLICY, generation: 8 };
      const status = policyStatus(
        input({ policy: next, workloads, sidecars: silent, settling: true, previous }),
      );
      expect(condition(status, "Enforced").status).toBe("False");
    });

    test("does not keep it when there are more pods than before", () => {
      const more = [workload(3)];
      const status = policyStatus(
        input({
          workloads: more,
          sidecars: states(more, () => ({ kind: "starting" })),
          settling: true,
          previous,
        }),
      );
      expect(status.sidecars).toBe("0/3");
    });

    test("does not keep it against a sidecar's own word", () => {
      const status = policyStatus(
        input({
          workloads,
          sidecars: states(workloads, () => reportingWithout("waiting")),
          settling: true,
          previous,
        }),
      );
      expect(status.sidecars).toBe("0/2");
    });
  });

  describe("lastTransitionTime", () => {
    const before = policyStatus(input({ nowMs: NOW - 3_600_000 }));

    test("stays while the status is the same, whatever the message", () => {
      const status = policyStatus(
        input({
          previous: before,
          workloads: [workload(3)],
          sidecars: states([workload(3)], () => reporting()),
        }),
      );
      expect(condition(status, "Enforced").message).toContain("3 of 3");
      expect(condition(status, "Enforced").lastTransitionTime).toBe("2026-01-02T02:04:05Z");
    });

    test("moves when the status changes, and only there", () => {
      const workloads = [workload(2)];
      const status = policyStatus(
        input({ previous: before, workloads, sidecars: states(workloads, () => lost(1e4)) }),
      );
      expect(condition(status, "Enforced").lastTransitionTime).toBe("2026-01-02T03:04:05Z");
      expect(condition(status, "Programmed").lastTransitionTime).toBe("2026-01-02T02:04:05Z");
    });
  });
});

describe("sameStatus()", () => {
  const status = policyStatus(input());

  test("is true for the same status at another time", () => {
    expect(sameStatus(status, policyStatus(input({ nowMs: NOW + 1e6 })))).toBe(true);
  });

  test("is false without a status, and when anything that a reader sees differs", () => {
    expect(sameStatus(undefined, status)).toBe(false);
    expect(sameStatus(status, { ...status, sidecars: "1/2" })).toBe(false);
    expect(sameStatus(status, { ...status, observedGeneration: 8 })).toBe(false);
    expect(sameStatus(status, { ...status, workloads: [] })).toBe(false);
    expect(
      sameStatus(status, {
        ...status,
        conditions: status.conditions.map((one) => ({ ...one, message: "other" })),
      }),
    ).toBe(false);
  });

  test("does not mind the order of members, as the API server may return another", () => {
    const turned = JSON.parse(
      JSON.stringify({
        ...status,
        conditions: status.conditions.map((one) =>
          Object.fromEntries(Object.entries(one).toReversed()),
        ),
      }),
    ) as PolicyStatus;
    expect(sameStatus(status, turned)).toBe(true);
  });
});

describe("roughly()", () => {
  test.each([
    [10_000, "10s"],
    [29_999, "10s"],
    [30_000, "30s"],
    [299_000, "1m"],
    [3_600_000, "1h"],
    [1e9, "more than a day"],
  ])("%d ms is %s", (ms, text) => expect(roughly(ms)).toBe(text));
});

function reportingWithout(state: SidecarReport["state"]): SidecarState {
  const { enforced: _, ...report } = (reporting({ state }) as { report: SidecarReport }).report;
  return { kind: "reporting", report };
}
