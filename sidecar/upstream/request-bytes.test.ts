/** The bytes that the application gets; nothing in them can end a line or a word before its end. */
import { describe, expect, test } from "@jest/globals";
import { HeaderList } from "../exchange.ts";
import type { Framing, HeaderLine } from "../exchange.ts";
import { chunkHead, requestHead } from "./request-bytes.ts";

const line = (name: string, value: string): HeaderLine => ({
  name,
  key: name.toLowerCase(),
  value,
});
const request = (
  more: {
    method?: string;
    target?: string;
    headers?: readonly HeaderLine[];
    framing?: Framing;
  } = {},
) => ({
  method: more.method ?? "GET",
  target: more.target ?? "/",
  headers: new HeaderList(more.headers ?? [line("Host", "a")]),
  framing: more.framing ?? { kind: "none" },
});

describe("requestHead()", () => {
  test("writes target and headers as they came, and identity behind them", () => {
    const headers = [line("hOST", "A"), line("X", "caf\u00e9"), line("Connection", "close")];
    expect(
      requestHead(request({ target: "/a%20b?x=%2F", headers }), [line("X-Subject", "alice")]),
    ).toBe(
      "GET /a%20b?x=%2F HTTP/1.1\r\nhOST: A\r\nX: caf\u00e9\r\nX-Subject: alice\r\nConnection: keep-alive\r\n\r\n",
    );
  });

  test.each<readonly [Framing, string]>([
    [{ kind: "length", bytes: 0 }, "content-length: 0"],
    [{ kind: "length", bytes: 12 }, "content-length: 12"],
    [{ kind: "chunked" }, "transfer-encoding: chunked"],
  ])("frames the body as the caller did: %j", (framing, wanted) => {
    expect(requestHead(request({ framing }), [])).toContain(`\r\n${wanted}\r\n`);
  });

  test.each<readonly [string, Parameters<typeof request>[0], (readonly HeaderLine[])?]>([
    ["a method with a space", { method: "GET /x" }],
    ["no method", { method: "" }],
    ["a target with a space", { target: "/a b" }],
    ["a target with a line end", { target: "/a\r\nX: y" }],
    ["no target", { target: "" }],
    ["a value with a line end", { headers: [line("X", "a\r\nY: b")] }],
    ["a value with a NUL", { headers: [line("X", "a\0")] }],
    ["a value beyond a byte", { headers: [line("X", "\u010d\u010a")] }],
    ["a name with a colon", { headers: [line("X: y", "a")] }],
    ["an identity with a line end", {}, [line("X-Subject", "alice\nX-Role: admin")]],
  ])("throws at %s, whoever let it through", (_title, more, identity = []) => {
    expect(() => requestHead(request(more), identity)).toThrow(TypeError);
  });
});

describe("chunkHead()", () => {
  test("writes the size in hexadecimal", () => {
    expect(chunkHead(65_536)).toBe("10000\r\n");
  });
});
