import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { SchemaNode, SchemaRule } from "../schema/schema.ts";
import { KINDS } from "./kinds.ts";

interface Place {
  readonly path: string;
  readonly node: SchemaNode;
}

function places(node: SchemaNode, path: string): Place[] {
  switch (node.kind) {
    case "object":
      return [
        { path, node },
        ...[...node.fields].flatMap(([name, { schema }]) => places(schema, `${path}.${name}`)),
      ];
    case "list":
      return [{ path, node }, ...places(node.items, `${path}[]`)];
    case "map":
      return [{ path, node }, ...places(node.values, `${path}.*`)];
    case "string":
    case "integer":
    case "union":
      return [{ path, node }];
  }
}

const ALL = KINDS.flatMap(({ kind, spec }) => places(spec.node, kind));

/** `!self.matches('…')` → the expression as the API server compiles it. */
function expressionOf({ cel = "" }: SchemaRule): { regexp: RegExp; negated: boolean } | undefined {
  const match = /^(!?)self\.matches\('(.*)'\)$/.exec(cel);
  if (match?.[2] === undefined) return undefined;
  const source = match[2].replaceAll(/\\(.)/g, "$1");
  return { regexp: new RegExp(source), negated: match[1] === "!" };
}

const EXPRESSIONS = ALL.flatMap(({ path, node }) =>
  node.rules.flatMap((rule) => {
    const expression = expressionOf(rule);
    return expression === undefined ? [] : [{ path, message: rule.message, rule, expression }];
  }),
);

describe("the schema of policies", () => {
  test("describes every field", () => {
    const silent = ALL.flatMap(({ path, node }) =>
      node.kind === "object"
        ? [...node.fields]
            .filter(([, { schema }]) => schema.description === undefined)
            .map(([name]) => `${path}.${name}`)
        : [],
    );
    expect(silent).toEqual([]);
  });

  test("has an expression for the API server in every rule", () => {
    const ours = ALL.flatMap(({ node }) => node.rules).filter(({ cel }) => cel === undefined);
    expect(ours).toEqual([]);
    expect(EXPRESSIONS.length).toBeGreaterThan(10);
  });

  test.each(EXPRESSIONS)(
    "says the same to both judges: $path, $message",
    ({ rule, expression }) => {
      const piece = fc.constantFrom(
        ..."/.%2eEfF5cC3bB07{}_-aZ;?# \\@:[]\"'~!,\n\u0000\u007f".split(""),
        ...'é|http://|https://|localhost|127.0.0.1|[::1]|:80|"d"|"k" :|{id}|//|/../'.split("|"),
      );
      const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
      fc.assert(
        fc.property(text, (value) => {
          const matched = expression.regexp.test(value);
          expect(rule.holds(value)).toBe(matched !== expression.negated);
        }),
        { numRuns: 2000 },
      );
    },
  );
});
