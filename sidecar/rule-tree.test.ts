import { describe, expect, test } from "@jest/globals";
import { rule } from "../test/support/bundles.ts";
import { findRule, growRuleTree } from "./rule-tree.ts";

const tree = growRuleTree([
  rule("GET", "/"),
  rule("GET", "/a"),
  rule("GET", "/a/"),
  rule("GET", "/{x}"),
  rule("GET", "/a/{y}/c"),
  rule("GET", "/{x}/b/{z}"),
  rule("POST", "/a/b/c"),
]);

function found(method: string, ...segments: string[]): string | undefined {
  const match = findRule(tree, method, segments);
  return match.kind === "declared" ? match.rule.name : undefined;
}

describe("findRule()", () => {
  test.each([
    [[], "GET /"],
    [["a"], "GET /a"],
    [["a", ""], "GET /a/"],
    [["b"], "GET /{x}"],
    [["a", "b", "d"], "GET /{x}/b/{z}"],
    [["a", "z", "c"], "GET /a/{y}/c"],
    [[""], undefined],
    [["b", ""], undefined],
    [["a", "b"], undefined],
    [["A", "z", "c"], undefined],
    [["a", "", "c"], undefined],
    [["constructor", "x"], undefined],
  ])("of %j is %s", (segments, name) => {
    expect(found("GET", ...segments)).toBe(name);
  });

  test("looks for the path first: the narrowest template decides which methods there are", () => {
    expect(found("POST", "a", "b", "c")).toBe("POST /a/b/c");
    const match = findRule(tree, "GET", ["a", "b", "c"]);
    expect(match).toMatchObject({ kind: "undeclared", wider: { name: "GET /a/{y}/c" } });
  });

  test("has no wider rule where none has the method", () => {
    expect(findRule(tree, "PUT", ["a"])).toEqual({ kind: "undeclared", wider: undefined });
    expect(findRule(tree, "GET", ["q", "q"])).toEqual({ kind: "undeclared", wider: undefined });
  });

  test("methods have case", () => {
    expect(found("get", "a")).toBeUndefined();
  });
});
