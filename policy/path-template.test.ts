import { describe, expect, test } from "@jest/globals";
import type { PathTemplate } from "./bundle.ts";
import { comparePathTemplates, parsePathTemplate, pathTemplateText } from "./path-template.ts";

function parsed(text: string): PathTemplate {
  const reading = parsePathTemplate(text);
  if (reading.kind === "problem") throw new Error(reading.message);
  return reading.template;
}

describe("parsePathTemplate()", () => {
  test.each<[string, PathTemplate]>([
    ["/", []],
    ["/orders", [{ literal: "orders" }]],
    ["/orders/", [{ literal: "orders" }, { literal: "" }]],
    ["/orders/{orderId}", [{ literal: "orders" }, { parameter: "orderId" }]],
    ["/{a}/{b_c-d}", [{ parameter: "a" }, { parameter: "b_c-d" }]],
    ["/caf%C3%A9", [{ literal: "café" }]],
    ["/café", [{ literal: "café" }]],
    ["/...", [{ literal: "..." }]],
    ["/what%3F", [{ literal: "what?" }]],
  ])("reads %s", (text, template) => {
    expect(parsePathTemplate(text)).toEqual({ kind: "template", template });
  });

  test.each([
    ["", "must start with a slash"],
    ["orders", "must start with a slash"],
    ["//orders", "must not have an empty segment"],
    ["/orders//", "must not have an empty segment"],
    ["/./orders", "must not have a dot segment"],
    ["/orders/..", "must not have a dot segment"],
    ["/orders/%2E%2e/x", "must not have a dot segment"],
    ["/a%2Fb", "must not have an encoded slash"],
    ["/a%5cb", "must not have an encoded slash, backslash"],
    ["/a%252Fb", "percent sign"],
    ["/a%3Bb", "semicolon"],
    ["/a;v=1", "must not have a path parameter"],
    ["/a\\b", "must not have a backslash"],
    ["/a?b=c", "must not have a query"],
    ["/a#b", "must not have a fragment"],
    ["/a b", "must not have a space"],
    ["/a\u0000b", "must not have a space or a control character"],
    ["/a%00b", "must not have an encoded control character"],
    ["/a%zz", "must not have a malformed percent-encoding"],
    ["/a%ff", "must not have a malformed percent-encoding"],
    ["/{id", "whole segments"],
    ["/id}", "whole segments"],
    ["/{}", "whole segments"],
    ["/v{id}", "whole segments"],
    ["/{id}.json", "whole segments"],
    ["/{1st}", "whole segments"],
    ["/{a}/{b}/{a}", "must not have the parameter {a} twice"],
    [`/${"a".repeat(512)}`, "must not be longer than 512 characters"],
    ["/a".repeat(33), "must not have more than 32 segments"],
    ["/\ud800", "must be well-formed Unicode"],
  ])("refuses %j", (text, why) => {
    expect(parsePathTemplate(text)).toEqual({
      kind: "problem",
      message: expect.stringContaining(why),
    });
  });
});

describe("comparePathTemplates()", () => {
  test.each([
    ["/orders/special", "/orders/{id}", "a literal before a parameter"],
    ["/a/{x}/c", "/{y}/b/c", "the leftmost difference decides"],
    ["/a/{x}/c", "/a/{x}", "the longer of two with one beginning"],
  ])("puts %s before %s: %s", (first, second) => {
    expect(comparePathTemplates(parsed(first), parsed(second))).toBeLessThan(0);
    expect(comparePathTemplates(parsed(second), parsed(first))).toBeGreaterThan(0);
  });

  test("calls templates equal that match the same paths", () => {
    expect(comparePathTemplates(parsed("/a/{x}"), parsed("/a/{y}"))).toBe(0);
    expect(comparePathTemplates(parsed("/a/"), parsed("/a"))).not.toBe(0);
    expect(comparePathTemplates(parsed("/a/"), parsed("/a/{x}"))).toBeLessThan(0);
  });
});

test("pathTemplateText() writes what parsePathTemplate() reads", () => {
  for (const text of ["/", "/a/", "/a/{b}", "/caf%C3%A9/x%3Fy"]) {
    expect(pathTemplateText(parsed(text))).toBe(text);
  }
});
