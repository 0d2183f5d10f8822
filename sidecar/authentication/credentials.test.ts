import { describe, expect, test } from "@jest/globals";
import type { CredentialLocation } from "../../policy/bundle.ts";
import { HeaderList } from "../exchange.ts";
import { findCredentials } from "./credentials.ts";

function find(location: CredentialLocation, value: string): unknown[] {
  const name = location.in === "header" ? location.name.toLowerCase() : location.in;
  const headers = new HeaderList(location.in === "query" ? [] : [{ name, key: name, value }]);
  const query = location.in === "query" ? value : undefined;
  return findCredentials({ headers, query }, [location]).map((credential) =>
    credential.kind === "token" ? credential.text : credential.kind,
  );
}

describe("findCredentials()", () => {
  const bearer: CredentialLocation = { in: "header", name: "Authorization", prefix: "Bearer" };

  test.each([
    ["Bearer abc", ["abc"]],
    ["bEARER abc", ["abc"]],
    ["Bearer  abc", ["malformed"]],
    ["Bearer\tabc", ["malformed"]],
    ["Bearer", ["malformed"]],
    ["Bearer,abc", ["malformed"]],
    ["Bearer=abc", ["malformed"]],
    ["Bearerx abc", []],
    ["Basic abc", []],
    ["", []],
  ])("in the header %j are %j", (value, found) => {
    expect(find(bearer, value)).toEqual(found);
  });

  test("without a prefix are the whole value", () => {
    expect(find({ in: "header", name: "X-Token", prefix: "" }, "Bearer a")).toEqual(["Bearer a"]);
  });

  test.each([
    ["s=abc", ["abc"]],
    ["a=b; s=abc; c=d", ["abc"]],
    ["a=b;s=abc", ["abc"]],
    ["s=a; s=b", ["a", "b"]],
    ["s=", [""]],
    ["S=abc", []],
    ["xs=abc", []],
    ["s", []],
  ])("in the cookie %j are %j", (value, found) => {
    expect(find({ in: "cookie", name: "s" }, value)).toEqual(found);
  });

  test.each([
    ["t=abc", ["abc"]],
    ["a=1&t=a%2Eb", ["a.b"]],
    ["t=a&%74=b", ["a", "b"]],
    ["t", [""]],
    ["t=%zz", ["malformed"]],
    ["T=abc", []],
    ["%zz=1", []],
    ["", []],
  ])("in the query %j are %j", (value, found) => {
    expect(find({ in: "query", name: "t" }, value)).toEqual(found);
  });
});
