import { describe, expect, test } from "@jest/globals";
import { claimHeaders } from "./claim-headers.ts";

const MAPPING = [{ claim: "c", header: "X-Claim" }];

describe("claimHeaders()", () => {
  test.each([
    ["alice", "alice"],
    ["", ""],
    ["a b", "a b"],
    ["~!", "~!"],
    [0, "0"],
    [-1.5, "-1.5"],
    [1e300, "1e+300"],
    [true, "true"],
    [false, "false"],
    [[], ""],
    [["a", 1, true], "a,1,true"],
    ["a,b", "a,b"],
    ["x".repeat(4096), "x".repeat(4096)],
  ])("carries %j", (claim, value) => {
    expect(claimHeaders({ c: claim }, MAPPING)).toEqual({
      headers: [{ name: "X-Claim", key: "x-claim", value }],
    });
  });

  test.each([[{}], [{ c: null }], [{ d: "x" }]])(
    "is silent about a claim that is absent: %j",
    (claims) => {
      expect(claimHeaders(claims, MAPPING)).toEqual({ headers: [] });
    },
  );

  test.each(["toString", "__proto__", "constructor"])("takes %s for no claim", (claim) => {
    expect(claimHeaders({}, [{ claim, header: "x" }])).toEqual({ headers: [] });
  });

  test.each([
    [" a"],
    ["a "],
    ["a\r\nx-admin: 1"],
    ["a\u0000"],
    ["a\tb"],
    ["\u007f"],
    ["\u00e9"],
    ["\ud800"],
    ["x".repeat(4097)],
    [{}],
    [{ toString: "x" }],
    [["a,b"]],
    [["a", null]],
    [["a", ["b"]]],
    [["a", {}]],
    [["a", " "]],
    [Array.from({ length: 3_000 }, () => "ab")],
  ])("refuses what a header cannot carry without loss: %j", (claim) => {
    expect(claimHeaders({ c: claim }, MAPPING)).toMatchObject({
      code: "authn.claims",
      detail: 'The claim "c" cannot be put into the header "X-Claim"',
    });
  });

  test("refuses all for one", () => {
    const mapping = [{ claim: "good", header: "x-good" }, ...MAPPING];
    expect(claimHeaders({ good: "g", c: "\n" }, mapping)).toMatchObject({ code: "authn.claims" });
  });
});
