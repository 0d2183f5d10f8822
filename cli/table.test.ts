import { describe, expect, test } from "@jest/globals";
import { age, table } from "./table.ts";

describe("table()", () => {
  test("makes each column as wide as its widest cell", () => {
    expect(table(["NAME", "AGE"], [["orders", "5m"]])).toBe("NAME    AGE\norders  5m\n");
  });
});

describe("age()", () => {
  test.each([
    [40, "40s"],
    [5 * 60, "5m"],
    [3 * 3600, "3h"],
    [12 * 86_400, "12d"],
    [-5, "0s"],
  ])("writes %d seconds as %s", (seconds, text) => {
    expect(age(1_000_000, 1_000_000 + seconds * 1000)).toBe(text);
  });
});
