import { describe, expect, test } from "@jest/globals";
import { encode } from "../../test/support/tokens.ts";
import { MAX_TOKEN_CHARS, readToken } from "./token.ts";

const jws = (header: unknown, payload: unknown = { iss: "i" }, signature = "c2ln"): string =>
  `${encode(header)}.${encode(payload)}.${signature}`;

describe("readToken()", () => {
  test("takes header and claims apart, and keeps the text as it came", () => {
    const text = jws({ alg: "RS256", kid: "k" }, { iss: "i", n: 1 });
    expect(readToken(text)).toEqual({
      text,
      algorithm: "RS256",
      kid: "k",
      claims: { iss: "i", n: 1 },
    });
  });

  test("takes a token without kid, and one with an empty signature, which verification will refuse", () => {
    expect(readToken(jws({ alg: "none" }, {}, ""))).toMatchObject({ algorithm: "none" });
    expect(readToken(jws({ alg: "RS256" }))).toMatchObject({ kid: undefined });
  });

  test("takes a token at the limit of length, and none above", () => {
    const short = `${encode({ alg: "RS256" })}.e30.`;
    const longest = short + "A".repeat(MAX_TOKEN_CHARS - short.length);
    expect(readToken(longest)).toMatchObject({ algorithm: "RS256" });
    expect(readToken(`${longest}A`)).toMatchObject({
      code: "authn.malformed",
      detail: expect.stringContaining(`${MAX_TOKEN_CHARS} characters`),
    });
  });

  const good = jws({ alg: "RS256" });
  test.each([
    ["nothing", ""],
    ["one part", "abc"],
    ["two parts", "a.b"],
    ["four parts", `${good}.x`],
    ["five parts (JWE)", "a.b.c.d.e"],
    ["an empty header", good.replace(/^[^.]*/, "")],
    ["an empty payload", good.replace(/\.[^.]*\./, "..")],
    ["padding", `${good}==`],
    ["the other base64", `${good.slice(0, -1)}+`],
    [
      "another spelling of the same header",
      `${encode({ alg: "RS256", x: 12 }).slice(0, -1)}R.e30.c2ln`,
    ],
    ["another spelling of the same signature", `${encode({ alg: "RS256" })}.e30.c2l`],
    ["another spelling of the same claims", `${encode({ alg: "RS256" })}.e31.c2ln`],
    ["a part of an impossible length", `${encode({ alg: "RS256" })}.e30.c2lnA`],
    ["a space", ` ${good}`],
    ["a line end behind it", `${good}\n`],
    ["a byte beyond ASCII", `${good}\u00e9`],
    ["a header that is not JSON", jws("x")],
    ["a header that is an array", jws([])],
    ["a header that is null", jws("null")],
    ["a header that is a string", jws('"x"')],
    ["a header that is not UTF-8", `${Buffer.from([0x7b, 0xff]).toString("base64url")}.e30.c2ln`],
    ["a header with a byte order mark before something", jws("\ufeffx")],
    ["no alg", jws({})],
    ["an alg that is a list", jws({ alg: ["RS256"] })],
    ["an alg that is null", jws({ alg: null })],
    ["a kid that is a number", jws({ alg: "RS256", kid: 1 })],
    ["a kid that is null", jws({ alg: "RS256", kid: null })],
    ["crit", jws({ alg: "RS256", crit: ["exp"] })],
    ["an empty crit", jws({ alg: "RS256", crit: [] })],
    ["a crit that is null", jws({ alg: "RS256", crit: null })],
    ["claims that are not JSON", jws({ alg: "RS256" }, "{")],
    ["claims that are an array", jws({ alg: "RS256" }, [{}])],
    ["claims that are a number", jws({ alg: "RS256" }, "1")],
    [
      "claims that are not UTF-8",
      `${encode({ alg: "RS256" })}.${Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")}.c2ln`,
    ],
  ])("refuses %s", (_title, text) => {
    expect(readToken(text)).toMatchObject({ code: "authn.malformed" });
  });

  test("is not led astray by names that every object has", () => {
    expect(readToken(`${encode('{"__proto__":{"alg":"RS256"}}')}.e30.c2ln`)).toMatchObject({
      code: "authn.malformed",
    });
  });

  test("never says what stands in the token", () => {
    expect(JSON.stringify(readToken(jws({ alg: 1, secret: "hunter2" })))).not.toMatch(
      /hunter2|eyJ/,
    );
  });
});
