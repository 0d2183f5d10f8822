import { describe, expect, test } from "@jest/globals";
import { closest } from "./closest.ts";
import {
  defaulted,
  described,
  integer,
  listMap,
  listOf,
  listSet,
  mapOf,
  object,
  oneOf,
  optional,
  ruled,
  string,
  tagged,
} from "./schema.ts";
import { structural } from "./structural.ts";
import { issueText, validate } from "./validate.ts";

const item = object({ name: string({ minLength: 1, maxLength: 5, pattern: "^[a-z]*$" }) });
const schema = object({
  size: described("How large.", integer({ minimum: 1, maximum: 9 })),
  color: defaulted(oneOf(["Red", "Blue"]), "Red"),
  items: optional(listMap("name", item, { minItems: 1, maxItems: 2 })),
  tags: optional(listSet(string({ maxLength: 5 }), { maxItems: 3 })),
  labels: optional(mapOf(string({ maxLength: 5 }), { minProperties: 1, maxProperties: 2 })),
});

function issues(value: unknown): string[] {
  const reading = validate(schema, value, "spec");
  return reading.kind === "value" ? [] : reading.issues.map(issueText);
}

describe("validate()", () => {
  test("builds a new value with defaults", () => {
    expect(validate(schema, { size: 3 }, "spec")).toEqual({
      kind: "value",
      value: { size: 3, color: "Red" },
    });
  });

  test.each<[unknown, string]>([
    [{ size: 1, colour: "Red" }, 'unknown field "spec.colour"; did you mean "color"?'],
    [
      { size: 1, zzz: 1 },
      'unknown field "spec.zzz"; the fields here are size, color, items, tags, labels',
    ],
    [{}, "spec.size: Required value: an integer is missing"],
    [{ size: "1" }, 'spec.size: Invalid value: found "1", an integer from 1 to 9 is required'],
    [{ size: 10 }, "spec.size: Invalid value: found 10"],
    [
      { size: 1, color: "red" },
      'spec.color: Unsupported value: "red": supported values: "Red", "Blue"; did you mean "Red"?',
    ],
    [{ size: 1, items: {} }, "spec.items: Invalid value: found an object, a list is required"],
    [{ size: 1, items: [] }, "spec.items: Invalid value: 0: should have at least 1 items"],
    [
      { size: 1, items: [{ name: "a" }, { name: "b" }, { name: "c" }] },
      "spec.items: Too many: 3: must have at most 2 items",
    ],
    [
      { size: 1, items: [{ name: "a" }, { name: "a" }] },
      'spec.items[1]: Duplicate value: {"name":"a"}',
    ],
    [
      { size: 1, items: [{ name: "" }] },
      'spec.items[0].name: Invalid value: "": should be at least 1 chars long',
    ],
    [
      { size: 1, items: [{ name: "A" }] },
      "spec.items[0].name: Invalid value: \"A\": should match '^[a-z]*$'",
    ],
    [
      { size: 1, items: [{ name: "abcdef" }] },
      "spec.items[0].name: Too long: may not be more than 5 characters",
    ],
    [
      { size: 1, items: [{ name: null }] },
      "spec.items[0].name: Invalid value: found null, a string is required",
    ],
    [{ size: 1, tags: ["a", "a"] }, 'spec.tags[1]: Duplicate value: "a"'],
    [{ size: 1, labels: {} }, "spec.labels: Invalid value: 0: should have at least 1 properties"],
    [{ size: 1, labels: { a: 1 } }, "spec.labels.a: Invalid value: found 1, a string is required"],
    [{ size: 1, labels: { a: "", b: "", c: "" } }, "spec.labels: Too many: 3: must have at most 2"],
    [{ size: 1, labels: [] }, "spec.labels: Invalid value: found a list, an object is required"],
  ])("of %j says what was found and what is required", (value, sentence) => {
    expect(issues(value)).toContainEqual(expect.stringContaining(sentence));
  });

  test("counts characters as the API server does, not UTF-16 units", () => {
    expect(issues({ size: 1, tags: ["😀😀😀😀😀"] })).toEqual([]);
    expect(issues({ size: 1, tags: ["😀😀😀😀😀😀"] })).not.toEqual([]);
  });

  test("asks rules only where the shape is right", () => {
    const even = ruled(item, [
      {
        message: "name must be even",
        fieldPath: ".name",
        holds: ({ name }) => name.length % 2 === 0,
      },
    ]);
    expect(validate(even, { name: "abc" }, "x")).toEqual({
      kind: "invalid",
      issues: [{ path: "x.name", message: "Invalid value: name must be even" }],
    });
    expect(validate(even, { name: 3 }, "x")).toMatchObject({ kind: "invalid" });
  });

  test("gives up after 20 issues", () => {
    const many = listOf(integer({ minimum: 0, maximum: 1 }), { maxItems: 100 });
    const reading = validate(
      many,
      Array.from({ length: 100 }, () => "x"),
      "",
    );
    expect(reading.kind === "invalid" && reading.issues.length).toBe(20);
  });
});

describe("structural()", () => {
  test("is the OpenAPI schema of the same thing", () => {
    const withRule = ruled(schema, [
      {
        cel: "self.size > 0",
        message: "size must be positive",
        fieldPath: ".size",
        holds: () => true,
      },
    ]);
    expect(structural(withRule.node)).toEqual({
      type: "object",
      required: ["size"],
      properties: {
        size: {
          description: "How large.",
          type: "integer",
          format: "int64",
          minimum: 1,
          maximum: 9,
        },
        color: { type: "string", enum: ["Red", "Blue"], maxLength: 4, default: "Red" },
        items: {
          type: "array",
          minItems: 1,
          maxItems: 2,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            required: ["name"],
            properties: {
              name: { type: "string", minLength: 1, maxLength: 5, pattern: "^[a-z]*$" },
            },
          },
        },
        tags: {
          type: "array",
          maxItems: 3,
          "x-kubernetes-list-type": "set",
          items: { type: "string", maxLength: 5 },
        },
        labels: {
          type: "object",
          minProperties: 1,
          maxProperties: 2,
          additionalProperties: { type: "string", maxLength: 5 },
        },
      },
      "x-kubernetes-validations": [
        { rule: "self.size > 0", message: "size must be positive", fieldPath: ".size" },
      ],
    });
  });

  test("refuses what the API server could not check", () => {
    expect(() => structural(tagged("kind", { a: item }).node)).toThrow(TypeError);
    const ours = ruled(item, [{ message: "x", holds: () => true }]);
    expect(() => structural(ours.node)).toThrow(TypeError);
  });
});

describe("closest()", () => {
  test.each([
    ["sepc", "spec"],
    ["SELECTOR", "selector"],
    ["selectr", "selector"],
    ["zzzz", undefined],
    ["x".repeat(1000), undefined],
  ])("of %s is %s", (text, expected) => {
    expect(closest(text, ["spec", "selector", "mode"])).toBe(expected);
  });
});
