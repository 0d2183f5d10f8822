import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { SCHEMA_VERSION } from "./bundle.ts";
import { closed } from "./closed.ts";
import { canonicalJson, digestOf, sealBundle } from "./encode.ts";

const content = closed({ namespace: "shop", name: "orders-1" }, "policy.none", "No policy");

describe("canonicalJson()", () => {
  test("sorts keys and leaves out what is undefined", () => {
    expect(canonicalJson({ b: 1, a: [true, null, "é\n"], c: undefined })).toBe(
      '{"a":[true,null,"é\\n"],"b":1}',
    );
  });

  test("is one encoding per value, however the value came about", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test.each([
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n,
    () => 1,
    Symbol("x"),
    "\ud800",
    [undefined],
  ])("refuses %p, which JSON cannot carry", (value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });
});

describe("digestOf()", () => {
  test("does not depend on the envelope", () => {
    const sealed = sealBundle(content, { revision: 7, issuedAtMs: 99 });
    expect(sealed).toMatchObject({ schemaVersion: SCHEMA_VERSION, revision: 7, issuedAtMs: 99 });
    expect(digestOf(sealed)).toBe(sealed.digest);
    expect(sealed.digest).toBe(digestOf(content));
    expect(sealed.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  test("tells an empty list from none", () => {
    const rule = { name: "a", methods: ["GET"], path: [] };
    const layer = (more: object) => ({
      ...content,
      layers: [{ operations: { rules: [{ ...rule, ...more }] } }] as never,
    });
    expect(digestOf(layer({ providers: [] }))).not.toBe(digestOf(layer({})));
  });
});
