import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { Opening, OpeningRules } from "./opening.ts";
import { readOpening } from "./opening.ts";

const ALL: OpeningRules = { proxyHeader: "none", tls: true, h2: true };
const V1 = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

function read(text: string, rules: Partial<OpeningRules> = {}): Opening {
  return readOpening(Buffer.from(text, "latin1"), { ...ALL, ...rules });
}

describe("readOpening()", () => {
  test.each([
    ["GET / HTTP/1.1\r\n", "http/1.1"],
    ["P", "incomplete"],
    ["PO", "http/1.1"],
    ["PRI * HTTP/2.0\r\n\r\n", "incomplete"],
    [PREFACE, "h2"],
    [`${PREFACE}more`, "h2"],
    [PREFACE.toLowerCase(), "http/1.1"],
    ["\x16", "tls"],
    ["\x80\x2e\x01\x03\x01", "http/1.1"],
    ["", "incomplete"],
  ])("%j speaks %s", (text, speaks) => {
    const opening = read(text);
    expect(opening.kind === "open" ? opening.speaks : opening.kind).toBe(speaks);
  });

  test("without a certificate there is no TLS, and without a server no HTTP/2", () => {
    expect(read("\x16", { tls: false })).toMatchObject({ speaks: "http/1.1" });
    expect(read(PREFACE, { h2: false })).toMatchObject({ speaks: "http/1.1" });
    expect(read("P", { h2: false })).toMatchObject({ speaks: "http/1.1" });
  });

  test.each(["required", "optional"] as const)(
    "a header that is %s is taken off",
    (proxyHeader) => {
      expect(read(`${V1}\x16`, { proxyHeader })).toEqual({
        kind: "open",
        speaks: "tls",
        taken: V1.length,
        source: { kind: "proxied", address: "192.0.2.7", port: 4711 },
      });
      expect(read(V1, { proxyHeader })).toEqual({ kind: "incomplete" });
      expect(read("PROXY TCP4 x\r\n", { proxyHeader })).toMatchObject({ kind: "refused" });
    },
  );

  test("a header that is missing is refused where it is required alone", () => {
    expect(read("GET", { proxyHeader: "required" })).toMatchObject({ kind: "refused" });
    expect(read("\x16", { proxyHeader: "required" })).toMatchObject({ kind: "refused" });
    expect(read("GET", { proxyHeader: "optional" })).toMatchObject({ speaks: "http/1.1" });
    expect(read(V1, { proxyHeader: "none" })).toMatchObject({ speaks: "http/1.1" });
  });

  test("more bytes never change what was known", () => {
    const piece = fc.constantFrom(V1, PREFACE, "GET / ", "\x16", "PR", "\r\n", "PROXY UNKNOWN\r\n");
    const proxyHeader = fc.constantFrom("required", "optional", "none");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 4 }), proxyHeader, (pieces, use) => {
        const text = pieces.join("");
        let known: Opening = { kind: "incomplete" };
        for (let length = 0; length <= text.length; length++) {
          const opening = read(text.slice(0, length), { proxyHeader: use });
          if (known.kind !== "incomplete") expect(opening).toEqual(known);
          known = opening;
        }
      }),
    );
  });
});
