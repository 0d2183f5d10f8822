import { describe, expect, test } from "@jest/globals";
import { readHead } from "./head.ts";

const PLAIN = { encrypted: false, hasBody: false };
const fields = (...more: string[]): string[] => [
  ":method",
  "GET",
  ":scheme",
  "http",
  ":authority",
  "a",
  ":path",
  "/",
  ...more,
];

describe("readHead()", () => {
  test("makes one Host of :authority, in front", () => {
    expect(readHead(fields("x", "1"), PLAIN)).toEqual({
      raw: {
        method: "GET",
        target: "/",
        version: "2",
        headers: ["host", "a", "x", "1"],
        hasBody: false,
      },
    });
    expect(readHead(fields("x", "1", "host", "A"), PLAIN)).toMatchObject({
      raw: { headers: ["host", "a", "x", "1"] },
    });
  });

  test("takes Host where there is no :authority", () => {
    const read = readHead([":method", "GET", ":scheme", "http", ":path", "/", "host", "b"], PLAIN);
    expect(read.refusal).toBeUndefined();
    expect(read.raw.headers).toEqual(["host", "b"]);
  });

  test("joins cookie crumbs where the first stood", () => {
    const read = readHead(fields("cookie", "a=1", "x", "1", "cookie", "b=2", "cookie", "c"), PLAIN);
    expect(read.raw.headers).toEqual(["host", "a", "cookie", "a=1; b=2; c", "x", "1"]);
  });

  test("keeps a second Host beside :authority, for normal form to refuse", () => {
    const read = readHead(fields("host", "a", "host", "a"), PLAIN);
    expect(read.raw.headers).toEqual(["host", "a", "host", "a"]);
  });

  test.each([
    ["a pseudo-header twice", fields(":path", "/b"), "request.malformed"],
    ["a pseudo-header behind a header", ["x", "1", ...fields()], "request.malformed"],
    ["an unknown pseudo-header", [":status", "200", ...fields()], "request.malformed"],
    ["extended CONNECT", [":protocol", "websocket", ...fields()], "request.method"],
    ["CONNECT", [":method", "CONNECT", ":authority", "a:1"], "request.method"],
    ["no scheme", [":method", "GET", ":path", "/", ":authority", "a"], "request.malformed"],
    ["another Host", fields("host", "b"), "request.host"],
    ["Connection", fields("connection", "x"), "request.malformed"],
    ["Keep-Alive", fields("keep-alive", "1"), "request.malformed"],
    ["Proxy-Connection", fields("proxy-connection", "x"), "request.malformed"],
    ["Transfer-Encoding", fields("transfer-encoding", "chunked"), "request.malformed"],
    ["Upgrade", fields("upgrade", "h2c"), "request.malformed"],
    ["HTTP2-Settings", fields("http2-settings", "x"), "request.malformed"],
    ["TE with another word", fields("te", "trailers, gzip"), "request.malformed"],
    ["an upper-case name", fields("X-A", "1"), "request.malformed"],
  ])("refuses %s, and still tells what was asked for", (_title, lines, code) => {
    expect(readHead(lines, PLAIN)).toMatchObject({
      refusal: { code },
      raw: { method: expect.stringMatching(/^(GET|CONNECT)$/) },
    });
  });

  test.each([
    ["http", true],
    ["https", false],
    ["HTTP", false],
    ["ftp", false],
    ["", false],
  ])("refuses the scheme %j on a connection with encrypted: %j", (scheme, encrypted) => {
    const lines = [":method", "GET", ":scheme", scheme, ":authority", "a", ":path", "/"];
    expect(readHead(lines, { encrypted, hasBody: false })).toMatchObject({
      refusal: { code: "request.malformed" },
    });
  });

  test("takes https on an encrypted connection, and TE: trailers anywhere", () => {
    const lines = [":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"];
    const read = readHead([...lines, "te", "trailers"], { encrypted: true, hasBody: true });
    expect(read.refusal).toBeUndefined();
    expect(read.raw).toMatchObject({ hasBody: true, headers: ["host", "a", "te", "trailers"] });
  });
});
