import { describe, expect, test } from "@jest/globals";
import type { DenialCode } from "../policy/denials.ts";
import { DENIALS } from "../policy/denials.ts";
import { answerOf, refuseBytes } from "./respond.ts";

const CODES = Object.keys(DENIALS) as DenialCode[];

function header(code: DenialCode, name: string, scopes?: readonly string[]): string | undefined {
  const refusal = { code, requestId: "r1", ...(scopes !== undefined && { scopes }) };
  return answerOf(refusal).head.headers.find(({ key }) => key === name)?.value;
}

describe("answerOf()", () => {
  test.each(CODES)("%s says what the table says, and nothing for operators", (code) => {
    const { head, body } = answerOf({ code, requestId: "r1" });
    expect(head.status).toBe(DENIALS[code].status);
    expect(head.reason).not.toBe("");
    expect(JSON.parse(Buffer.from(body).toString())).toEqual({
      type: `https://postern.dev/denials/${code}`,
      title: DENIALS[code].title,
      status: DENIALS[code].status,
      code,
      requestId: "r1",
    });
    expect(header(code, "content-type")).toBe("application/problem+json");
    expect(header(code, "cache-control")).toBe("no-store");
    expect(header(code, "content-length")).toBe(String(body.length));
  });

  test.each(CODES.filter((code) => DENIALS[code].status === 401))("%s challenges", (code) => {
    expect(header(code, "www-authenticate")).toMatch(/^Bearer realm="postern"/);
  });

  test.each<[DenialCode, string | undefined]>([
    ["authn.missing", 'Bearer realm="postern"'],
    ["authn.expired", 'Bearer realm="postern", error="invalid_token"'],
    ["authn.ambiguous", 'Bearer realm="postern", error="invalid_request"'],
    ["authz.scope", 'Bearer realm="postern", error="insufficient_scope", scope="a b"'],
    ["authz.provider", undefined],
    ["authn.keys-unavailable", undefined],
  ])("%s challenges with %s", (code, challenge) => {
    expect(header(code, "www-authenticate", ["a", "b"])).toBe(challenge);
  });

  test("leaves a scope out that would break the challenge", () => {
    expect(header("authz.scope", "www-authenticate", ['a"', "b\r\n", ""])).toBe(
      'Bearer realm="postern", error="insufficient_scope"',
    );
  });

  test("says when to come back, where that can help", () => {
    expect(header("policy.waiting", "retry-after")).toBe("1");
    expect(header("policy.none", "retry-after")).toBeUndefined();
  });

  test("names methods with 405", () => {
    expect(header("request.method", "allow")).toMatch(/GET/);
  });
});

describe("refuseBytes()", () => {
  test("is one whole answer that ends the connection", () => {
    const text = Buffer.from(
      refuseBytes({ code: "request.malformed", requestId: "r1" }),
    ).toString();
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(text).toMatch(/\r\nConnection: close\r\n\r\n\{.*\}\n$/);
  });
});
