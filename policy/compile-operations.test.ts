import { describe, expect, test } from "@jest/globals";
import type { OperationsSpec } from "./api/operations.ts";
import { compileOperations } from "./compile-operations.ts";

const ref = {
  kind: "ApiSecurityPolicy",
  namespace: "shop",
  name: "orders",
  generation: 1,
} as const;

function compiled(rules: OperationsSpec["rules"], providers: readonly string[] | undefined) {
  return compileOperations(ref, { undeclared: "Deny", rules }, "Observe", providers);
}

describe("compileOperations()", () => {
  test("sorts methods and inherits the mode", () => {
    const { operations, problems } = compiled(
      [
        {
          name: "a",
          methods: ["PUT", "GET"],
          path: "/a",
          providers: ["corp"],
          scopes: { any: ["x"] },
        },
      ],
      ["corp"],
    );
    expect(problems).toEqual([]);
    expect(operations).toEqual({
      mode: "Observe",
      undeclared: "Deny",
      rules: [
        {
          name: "a",
          methods: ["GET", "PUT"],
          path: [{ literal: "a" }],
          providers: ["corp"],
          scopes: { any: ["x"] },
        },
      ],
    });
  });

  // The schema refuses these as well; what got past it must not open anything.
  test.each([
    [
      "a provider that does not exist",
      ["corp"],
      { providers: ["crop"] },
      "spec.operations.rules[0].providers[0]",
      'no provider "crop"',
    ],
    [
      "a provider where there is none",
      [],
      { providers: ["corp"] },
      "spec.operations.rules[0].providers[0]",
      "(it has: none)",
    ],
    [
      "scopes without authentication",
      undefined,
      { scopes: { all: ["x"] } },
      "spec.operations.rules[0]",
      "needs spec.authentication",
    ],
    [
      "providers without authentication",
      undefined,
      { providers: ["corp"] },
      "spec.operations.rules[0]",
      "needs spec.authentication",
    ],
  ])("refuses %s", (_, providers, more, path, message) => {
    const { problems } = compiled(
      [{ name: "a", methods: ["GET"], path: "/a", ...more }],
      providers,
    );
    expect(problems).toEqual([
      {
        policy: ref,
        reason: "UnknownProvider",
        severity: "error",
        path,
        message: expect.stringContaining(message),
      },
    ]);
  });

  test("finds a conflict among more than two rules of one path", () => {
    const { problems } = compiled(
      [
        { name: "a", methods: ["GET"], path: "/x/{a}" },
        { name: "b", methods: ["PUT"], path: "/x/{b}" },
        { name: "c", methods: ["POST", "PUT"], path: "/x/{c}" },
      ],
      undefined,
    );
    expect(problems).toMatchObject([
      { reason: "OperationConflict", path: "spec.operations.rules[1]" },
    ]);
  });
});
