import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { readTarget } from "./path.ts";

describe("readTarget()", () => {
  test.each([
    ["/", [], undefined],
    ["/a", ["a"], undefined],
    ["/a/", ["a", ""], undefined],
    ["/a/b?", ["a", "b"], ""],
    ["/?a=/../b", [], "a=/../b"],
    ["/%41%2e%C3%A9", ["A.é"], undefined],
    ["/100%25", ["100%"], undefined],
    ["/...", ["..."], undefined],
    ["/a:b@c", ["a:b@c"], undefined],
  ])("reads %s", (target, segments, query) => {
    expect(readTarget(target)).toMatchObject({ segments, query });
  });

  test.each([
    "",
    "a",
    "*",
    "http://a/",
    "//a",
    "/a//b",
    "/a//",
    "/.",
    "/..",
    "/a/../b",
    "/%2e",
    "/%2E.",
    "/a%2fb",
    "/a%5cb",
    "/a\\b",
    "/a;b",
    "/a%3bb",
    "/a%00",
    "/a%1f",
    "/a%7f",
    "/a%c2%85",
    "/a\u0000",
    "/a b",
    "/a#b",
    "/a?b#c",
    "/a?b c",
    "/a?\u00e9",
    "/\u00e9",
    "/\u0141",
    "/%",
    "/%4",
    "/%zz",
    "/%ff",
    "/%c0%af",
    "/%ed%a0%80",
    "/%252e",
    "/%25%32e",
    '/"',
    "/<",
    "/[",
    "/{a}",
    "/|",
    "/^",
    "/`",
  ])("refuses %j", (target) => {
    expect(readTarget(target)).toMatchObject({ code: "request.path" });
  });

  test("reads every path that was encoded segment by segment, and back", () => {
    const segment = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 8 })
      // What normal form refuses on purpose.
      // oxlint-disable-next-line no-control-regex -- control characters are what it leaves out
      .filter((s) => s.isWellFormed() && !/^\.\.?$|[/\\;%\u0000-\u001f\u007f-\u009f]/.test(s));
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 5 }), (segments) => {
        const target = `/${segments.map(encodeURIComponent).join("/")}`;
        expect(readTarget(target)).toEqual({ path: target, segments, query: undefined });
      }),
    );
  });

  test("what it accepts, a URL parser cannot read as another path", () => {
    const pieces = fc.constantFrom(..."/.%2eEfF5cC;\\?#a@:".split(""), "//", "%2e", "%2f", "..");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const target = `/${parts.join("")}`;
        const read = readTarget(target);
        if ("code" in read) return;
        expect(new URL(target, "http://host").pathname).toBe(read.path);
      }),
      { numRuns: 2_000 },
    );
  });
});
