import { describe, expect, test } from "@jest/globals";
import type { LabelSelector } from "./api/common.ts";
import { matches } from "./select.ts";

const LABELS = { app: "orders", tier: "api" };

describe("matches()", () => {
  test.each<[LabelSelector, boolean]>([
    [{}, true],
    [{ matchLabels: { app: "orders" } }, true],
    [{ matchLabels: { app: "orders", tier: "web" } }, false],
    [{ matchLabels: { toString: "x" } }, false],
    [{ matchExpressions: [{ key: "app", operator: "In", values: ["cart", "orders"] }] }, true],
    [{ matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["orders"] }] }, false],
    [{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }, true],
    [{ matchExpressions: [{ key: "app", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "constructor", operator: "Exists" }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "DoesNotExist" }] }, false],
    [{ matchExpressions: [{ key: "zone", operator: "DoesNotExist" }] }, true],
    [
      {
        matchLabels: { app: "orders" },
        matchExpressions: [{ key: "tier", operator: "NotIn", values: ["api"] }],
      },
      false,
    ],
  ])("of %j is %p, as in Kubernetes", (selector, expected) => {
    expect(matches(selector, LABELS)).toBe(expected);
  });
});
