import { describe, expect, test } from "@jest/globals";
import { assertKey, assertSubject, matchesSubject } from "./subject.ts";

describe("matchesSubject()", () => {
  test.each([
    ["a.b", "a.b", true],
    ["a.b", "a.c", false],
    ["a.b", "a.b.c", false],
    ["a.b.c", "a.b", false],
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["*.b", "a.b", true],
    ["a.*.c", "a.b.c", true],
    ["a.>", "a.b", true],
    ["a.>", "a.b.c.d", true],
    ["a.>", "a", false],
    [">", "a", true],
    [">.a", "b.a", false],
  ])("%s against %s: %s", (pattern, subject, expected) => {
    expect(matchesSubject(pattern, subject)).toBe(expected);
  });
});

describe("assertSubject()", () => {
  test.each(["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a\r\nPUB x"])(
    "refuses %j as a subject",
    (subject) => {
      expect(() => assertSubject(subject, "subject")).toThrow(TypeError);
    },
  );
  test.each(["", "a.b*", "a.>.b", "a..b", "a\nb"])("refuses %j as a pattern", (pattern) => {
    expect(() => assertSubject(pattern, "pattern")).toThrow(TypeError);
  });
  test("takes subjects and patterns", () => {
    assertSubject("postern.ack.shop.orders-1f.pod-0", "subject");
    assertSubject("postern.*.shop.>", "pattern");
  });
});

describe("assertKey()", () => {
  test.each(["", "a b", "a.*", ">", ".a", "a.", "a..b", "a\n"])("refuses %j", (key) => {
    expect(() => assertKey(key)).toThrow(TypeError);
  });
  test("takes a bundle's key", () => assertKey("shop.orders-1f2e3d4c"));
});
