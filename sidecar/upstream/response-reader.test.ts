/** One answer to one request out of bytes, however they are cut; and what is no answer. */
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { ResponseReader } from "./response-reader.ts";

interface Result {
  status?: number;
  headers?: readonly string[];
  body: string;
  trailers?: readonly string[];
  isReusable?: boolean;
  problem?: string;
}

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

function read(pieces: readonly string[], { isHead = false, ends = false } = {}): Result {
  const reader = new ResponseReader();
  reader.begin(isHead);
  const result: Result = { body: "" };
  for (const [index, piece] of pieces.entries()) {
    const { head, body, end, problem } = reader.read(bytes(piece));
    if (head !== undefined) {
      result.status = head.status;
      result.headers = head.headers;
    }
    result.body += body?.toString("latin1") ?? "";
    if (problem !== undefined) {
      result.problem = problem;
      break;
    }
    if (end !== undefined) {
      result.trailers = end.trailers;
      // What comes in a later piece belongs to nobody: the connection's to notice.
      result.isReusable = end.isReusable && index === pieces.length - 1;
      break;
    }
  }
  if (ends && result.trailers === undefined && result.problem === undefined) {
    if (reader.endsWithConnection()) {
      result.trailers = [];
      result.isReusable = false;
    } else result.problem = "ended";
  }
  reader.close();
  return result;
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED =
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0a;x=1\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";

describe("an answer", () => {
  const ANSWERS: readonly [string, string, { isHead?: boolean; ends?: boolean }][] = [
    ["with a length", OK, {}],
    ["in chunks with trailers", CHUNKED, {}],
    ["that ends with the connection", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nsome bytes", { ends: true }],
    ["of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", {}],
    [
      "behind interim answers",
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: a\r\n\r\n${OK}`,
      {},
    ],
    ["to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", { isHead: true }],
    [
      "to HEAD, in chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      { isHead: true },
    ],
    ["without content", "HTTP/1.1 204 No Content\r\n\r\n", {}],
    ["not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", {}],
    ["with poison behind it", `${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`, {}],
    [
      "with a length and a break",
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
      { ends: true },
    ],
    [
      "with chunks and a break",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha",
      { ends: true },
    ],
    ["with two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", {}],
    ["with a bare LF", "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\na", {}],
    [
      "with a broken chunk",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n",
      {},
    ],
  ];

  test.each(ANSWERS)("%s is the same, wherever its bytes are cut", (_title, text, how) => {
    const whole = read([text], how);
    const isWhole = whole.problem === undefined;
    for (let at = 1; at < text.length; at += 1) {
      const cut = read([text.slice(0, at), text.slice(at)], how);
      expect({ at, problem: cut.problem !== undefined }).toEqual({ at, problem: !isWhole });
      if (isWhole) expect({ at, ...cut }).toEqual({ at, ...whole });
    }
    const single = read(text.split(""), how);
    expect(single.problem !== undefined).toBe(!isWhole);
    if (isWhole) expect(single).toEqual(whole);
  });

  test.each<readonly [string, string, boolean, { isHead?: boolean }?]>([
    ["a clean one", OK, true],
    ["one in chunks", CHUNKED, true],
    ["to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, { isHead: true }],
    ["to HEAD with a body", OK, false, { isHead: true }],
    ["that says close", OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), false],
    [
      "that says close in a list",
      OK.replace("\r\n\r\n", "\r\nConnection: x, Close\r\n\r\n"),
      false,
    ],
    ["of HTTP/1.0", OK.replace("1.1", "1.0"), false],
    [
      "of HTTP/1.0 that keeps alive",
      OK.replace("1.1", "1.0").replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
      true,
    ],
    ["204", "HTTP/1.1 204 No Content\r\n\r\n", true],
    ["204 that says it is empty", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true],
    ["204 that announces a body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false],
    ["204 in chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false],
    ["304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true],
    ["with a line end behind it", `${OK}\r\n`, false],
  ])("%s leaves its connection for another: %#", (_title, text, isReusable, how = {}) => {
    expect(read([text], how)).toMatchObject({ isReusable });
  });
});

describe("what is no answer", () => {
  test.each([
    ["a folded header", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"],
    ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"],
    ["lines that end in LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
    ["an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"],
    ["a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"],
    ["a length in hexadecimal", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok"],
    ["a length beyond all numbers", `HTTP/1.1 200 OK\r\nContent-Length: ${"9".repeat(30)}\r\n\r\n`],
    ["chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    [
      "two codings",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["an empty coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 2\r\n\r\nok"],
    ["identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok"],
    ["a coding of an answer to HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
    ["an interim answer with a length", "HTTP/1.1 103 E\r\nContent-Length: 2\r\n\r\nok"],
    [
      "an interim answer in chunks",
      "HTTP/1.1 199 E\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["a switch of protocols", "HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
    ["a switch of protocols without words", "HTTP/1.1 101 S\r\n\r\n"],
    ["a blank line in front", `\r\n${OK}`],
    ["HTTP/0.9", "hello"],
    ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"],
    ["two spaces in the status line", "HTTP/1.1  200 OK\r\n\r\n"],
    ["a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a head beyond its bound", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(33_000)}\r\n\r\n`],
    ["interim answers beyond their bound", `${"HTTP/1.1 103 E\r\n\r\n".repeat(33)}${OK}`],
    [
      "a chunk size with a sign",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
    ],
    [
      "a chunk that is longer than its size",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
    ],
    [
      "a chunk extension beyond its bound",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${"a".repeat(5_000)}\r\na\r\n0\r\n\r\n`,
    ],
  ])("is a problem: %s", (_title, text) => {
    const { problem } = read([text]);
    expect(problem).toMatch(/\S/);
  });

  test("does not depend on what was asked for: a coding of an answer to HEAD is one", () => {
    const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n";
    expect(read([text], { isHead: true }).problem).toMatch(/gzip/);
  });

  test("never throws, whatever the bytes are", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        OK,
        CHUNKED,
        "HTTP/1.1 ",
        "200",
        " OK\r\n",
        "\r\n",
        "\n",
        "\r",
        ":",
        " ",
        "0",
      ),
      fc.constantFrom(
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
      ),
      fc.string({ unit: "binary-ascii", maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, isHead) => {
        const apart = read(pieces, { isHead, ends: true });
        const whole = read([pieces.join("")], { isHead, ends: true });
        expect(apart.problem !== undefined).toBe(whole.problem !== undefined);
        if (whole.problem === undefined) {
          expect(apart).toMatchObject({ status: whole.status, body: whole.body });
        }
      }),
      { numRuns: 500 },
    );
  });
});
