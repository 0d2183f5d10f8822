import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "../../runtime/clock.ts";
import { Budget } from "./budget.ts";

describe("Budget", () => {
  test("gives its burst, and then as much as time brings", async () => {
    const clock = new ManualClock();
    const budget = new Budget({ burst: 3, perSecond: 2 }, clock);
    expect([1, 2, 3, 4].map(() => budget.spend())).toEqual([true, true, true, false]);
    await clock.advance(1_500);
    expect([1, 2, 3].map(() => budget.spend())).toEqual([true, true, false]);
  });

  test("never holds more than its burst, however long nobody asks", async () => {
    const clock = new ManualClock();
    const budget = new Budget({ burst: 2, perSecond: 100 }, clock);
    await clock.advance(3_600_000);
    for (let i = 0; i < 10; i++) budget.refund();
    expect([1, 2, 3].map(() => budget.spend())).toEqual([true, true, false]);
  });

  test("a refund makes good for one, and a clock that is set back for none", () => {
    let now = 1_000_000;
    const budget = new Budget({ burst: 1, perSecond: 1 }, { now: () => now });
    expect(budget.spend()).toBe(true);
    budget.refund();
    expect(budget.spend()).toBe(true);
    now -= 500_000;
    expect(budget.spend()).toBe(false);
  });
});
