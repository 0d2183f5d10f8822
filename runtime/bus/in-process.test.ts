import { describe, expect, test } from "@jest/globals";
import { busSuite, bytes, textOf } from "./bus.suite.ts";
import { InProcessBus } from "./in-process.ts";

describe("InProcessBus", () => {
  busSuite(async () => new InProcessBus());

  test("keeps its own copy of what it is given", async () => {
    await using bus = new InProcessBus();
    const value = bytes("abc");
    await bus.bundles.put("k", value);
    value[0] = 120;
    expect(textOf(await bus.bundles.get("k"))).toBe("abc");
  });
});
