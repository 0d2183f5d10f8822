import { describe, expect, test } from "@jest/globals";
import { atLeast } from "./version.ts";

describe("atLeast()", () => {
  test.each([
    ["2.15.2", "2.10.0", true],
    ["2.10.0", "2.10.0", true],
    ["2.9.10-1+b3", "2.10.0", false],
    ["v1.37.2", "1.33.0", true],
    ["1.32.4-dispatcher", "1.33.0", false],
    ["3", "2.10", true],
    ["nonsense", "2.10", false],
  ])("%s is at least %s: %s", (version, minimum, answer) => {
    expect(atLeast(version, minimum)).toBe(answer);
  });
});
