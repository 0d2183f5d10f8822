import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "../runtime/clock.ts";
import { Deadlines } from "./deadlines.ts";

describe("Deadlines", () => {
  test("fire once their time has come, never early", async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const fired: string[] = [];
    deadlines.arm(150, () => fired.push("a"));
    deadlines.arm(1_000, () => fired.push("b"));
    await clock.advance(100);
    expect(fired).toEqual([]);
    await clock.advance(100);
    expect(fired).toEqual(["a"]);
    await clock.advance(5_000);
    expect(fired).toEqual(["a", "b"]);
    expect(deadlines.size).toBe(0);
    deadlines.arm(100, () => fired.push("c"));
    await clock.advance(200);
    expect(fired).toEqual(["a", "b", "c"]);
  });

  test("fire not when disarmed or closed", async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    let fired = 0;
    deadlines.arm(100, () => fired++)();
    deadlines.arm(100, () => fired++);
    deadlines.close();
    await clock.advance(1_000);
    expect(fired).toBe(0);
  });
});
