import { describe, expect, test } from "@jest/globals";
import type { HeaderLine } from "./exchange.ts";
import { HeaderList } from "./exchange.ts";
import { requestHeaders, responseHeaders, trailerLines } from "./hop-by-hop.ts";

function line(name: string, value: string): HeaderLine {
  return { name, key: name.toLowerCase(), value };
}

describe("requestHeaders()", () => {
  const headers = new HeaderList([
    line("Host", "a"),
    line("Connection", "close, X-Hop"),
    line("X-Hop", "1"),
    line("Content-Length", "5"),
    line("Expect", "100-continue"),
    line("TE", "trailers"),
    line("X", "1"),
  ]);

  test("write the framing that was decided on, and the identity last", () => {
    const request = { method: "POST", headers, framing: { kind: "length", bytes: 5 } } as const;
    expect(requestHeaders(request, [line("x-user", "alice")])).toEqual([
      "Host",
      "a",
      "X",
      "1",
      "x-user",
      "alice",
      "content-length",
      "5",
    ]);
    expect(requestHeaders({ ...request, framing: { kind: "chunked" } }, [])).toEqual([
      "Host",
      "a",
      "X",
      "1",
      "transfer-encoding",
      "chunked",
    ]);
  });

  test("say that there is no body where one may be expected", () => {
    const none = { headers, framing: { kind: "none" } } as const;
    expect(requestHeaders({ method: "PUT", ...none }, [])).toContain("content-length");
    expect(requestHeaders({ method: "GET", ...none }, [])).not.toContain("content-length");
  });
});

describe("responseHeaders()", () => {
  test("keep repeated lines and their order, and drop those of the connection", () => {
    const { lines } = responseHeaders([
      "Set-Cookie",
      "a",
      "Connection",
      "X-Hop, Content-Length",
      "X-Hop",
      "1",
      "Set-Cookie",
      "b",
      "Transfer-Encoding",
      "chunked",
      "Upgrade",
      "h2c",
    ]);
    expect(lines.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      "Set-Cookie: a",
      "Set-Cookie: b",
    ]);
  });

  test("an answer cannot have its own length removed", () => {
    const { lines } = responseHeaders(["Connection", "content-length", "Content-Length", "5"]);
    expect(lines).toMatchObject([{ key: "content-length" }]);
  });

  test("only declared fields become trailers, and none that decides anything", () => {
    const { trailers, lines } = responseHeaders(["Trailer", "X-Sum, Content-Length, set-cookie"]);
    expect([...trailers]).toEqual(["x-sum"]);
    expect(lines).toMatchObject([{ key: "trailer", value: "x-sum" }]);
    expect(trailerLines(["X-Sum", "1", "Set-Cookie", "a"], trailers)).toMatchObject([
      { key: "x-sum", value: "1" },
    ]);
    expect(responseHeaders(["Trailer", "X-Sum", "Content-Length", "1"]).trailers.size).toBe(0);
  });
});
