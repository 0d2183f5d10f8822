import { describe, expect, test } from "@jest/globals";
import type { ParsedHead } from "./llhttp.ts";
import { HttpParser, MAX_HEAD_BYTES } from "./llhttp.ts";
import { MAX_TRAILER_BYTES } from "./message-notes.ts";

type Event = readonly [kind: string, ...rest: unknown[]];

/** All that a parser tells of these chunks, body pieces joined. */
function parse(type: "request" | "response", chunks: readonly Buffer[], end = true): Event[] {
  const events: Event[] = [];
  let body = "";
  const flush = (): void => {
    if (body !== "") events.push(["body", body]);
    body = "";
  };
  const listener = {
    onHead: (head: ParsedHead) => events.push(["head", head]),
    onBody: (bytes: Buffer) => {
      body += bytes.toString("latin1");
    },
    onTrailers: (fields: readonly string[]) => {
      flush();
      events.push(["trailers", fields]);
    },
    onComplete: () => {
      flush();
      events.push(["complete"]);
    },
  };
  const parser =
    type === "request" ? HttpParser.forRequests(listener) : HttpParser.forResponses(listener);
  for (const chunk of chunks) if (parser.error === undefined) parser.execute(chunk);
  if (end && parser.error === undefined) parser.finish();
  const { error } = parser;
  // What came of a body before an error depends on the chunks; nothing else does.
  if (error === undefined) flush();
  else events.push(["error", error.kind]);
  parser.free();
  return events;
}

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const one = (text: string): Buffer[] => [bytes(text)];
const each = (text: string): Buffer[] => text.split("").map(bytes);
const request = (text: string): Event[] => parse("request", one(text));
const response = (text: string): Event[] => parse("response", one(text));
const kindOf = (events: readonly Event[]): unknown =>
  events.find(([kind]) => kind === "error")?.[1];

const GET = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

const REQUESTS: readonly (readonly [title: string, text: string, kind: string | undefined])[] = [
  ["one request", GET, undefined],
  ["a blank line before a request", `\r\n${GET}`, undefined],
  ["requests in a row", `${GET}\r\n${GET}${CHUNKED}1\r\na\r\n0\r\n\r\n${GET}`, undefined],
  ["empty and padded values", "GET / HTTP/1.1\r\nA:\r\nB: \t 1 \t\r\nC:   \r\n\r\n", undefined],
  ["bytes above ASCII in a value", "GET / HTTP/1.1\r\nA: caf\xe9\r\n\r\n", undefined],
  ["bytes above ASCII in a target", "GET /\xe9 HTTP/1.1\r\n\r\n", "malformed"],
  ["a length", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", undefined],
  ["chunks with a short extension", `${CHUNKED}3;a=b\r\nabc\r\n0\r\n\r\n`, undefined],
  ["trailers", `${CHUNKED}3\r\nabc\r\n0\r\nX-A: 1 \r\nX-B:\r\n\r\n${GET}`, undefined],
  [
    "an ignored upgrade",
    `GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n${GET}`,
    undefined,
  ],
  ["two blank lines", `\r\n\r\n${GET}`, "malformed"],
  ["a bare LF before a request", `\n${GET}`, "malformed"],
  ["a bare CR before a request", `\r${GET}`, "malformed"],
  ["a bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "malformed"],
  ["a bare LF behind a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", "malformed"],
  ["a bare LF at the end of a head", "GET / HTTP/1.1\r\nHost: a\r\n\n", "malformed"],
  ["a bare CR at the end of a head", "GET / HTTP/1.1\r\nHost: a\r\n\r", "end"],
  ["two spaces before the target", "GET  / HTTP/1.1\r\n\r\n", "malformed"],
  ["two spaces behind the target", "GET /  HTTP/1.1\r\n\r\n", "malformed"],
  ["another version", "GET / HTTP/2.0\r\n\r\n", "malformed"],
  ["an older version", "GET / HTTP/0.9\r\n\r\n", "malformed"],
  ["another protocol", "GET / RTSP/1.0\r\n\r\n", "malformed"],
  ["a folded line", "GET / HTTP/1.1\r\nA: 1\r\n b\r\n\r\n", "malformed"],
  ["a NUL in a name", "GET / HTTP/1.1\r\nA\0: 1\r\n\r\n", "malformed"],
  [
    "two lengths",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "malformed",
  ],
  [
    "a length and chunks",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "malformed",
  ],
  ["an unknown method", "FOO / HTTP/1.1\r\n\r\n", "method"],
  ["a method in lower case", "get / HTTP/1.1\r\n\r\n", "method"],
  ["half a method", "GE / HTTP/1.1\r\n\r\n", "method"],
  ["no HTTP at all", "\x16\x03\x01\x00", "malformed"],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "malformed"],
  ["half a request", "GET / HT", "end"],
  ["half a body", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", "end"],
  ["a chunk size that is none", `${CHUNKED}x\r\n`, "malformed"],
  ["a long chunk extension", `${CHUNKED}1;${"a".repeat(300)}\r\na\r\n0\r\n\r\n`, "chunk-extension"],
  [
    "many chunk extensions",
    `${CHUNKED}${`1;${"a".repeat(200)}\r\na\r\n`.repeat(40)}0\r\n\r\n`,
    "chunk-extension",
  ],
  [
    "a long extension of the last chunk",
    `${CHUNKED}0;${"a".repeat(300)}\r\n\r\n`,
    "chunk-extension",
  ],
  ["a large head", `GET / HTTP/1.1\r\nA: ${"a".repeat(MAX_HEAD_BYTES)}\r\n\r\n`, "head-size"],
  ["a head of spaces", `GET / HTTP/1.1\r\nA:${" ".repeat(MAX_HEAD_BYTES)}\r\n\r\n`, "head-size"],
  [
    "large trailers",
    `${CHUNKED}0\r\n${"A: 1\r\n".repeat(MAX_TRAILER_BYTES / 3)}\r\n`,
    "trailer-size",
  ],
  ["a trailer of spaces", `${CHUNKED}0\r\nA:${" ".repeat(300)}1\r\n\r\n`, "chunk-extension"],
  [
    "bytes behind the last request",
    `GET / HTTP/1.1\r\nConnection: close\r\n\r\n${GET}`,
    "after-last",
  ],
];

describe("a parser of requests", () => {
  test.each(REQUESTS)("takes or refuses %s", (_title, text, kind) => {
    expect(kindOf(request(text))).toBe(kind);
  });

  test.each(REQUESTS)("says the same of %s, however it is cut", (_title, text) => {
    const whole = request(text);
    expect(parse("request", each(text))).toEqual(whole);
    const step = Math.max(1, Math.floor(text.length / 200));
    for (let cut = 1; cut < text.length; cut += step) {
      expect(parse("request", [bytes(text.slice(0, cut)), bytes(text.slice(cut))])).toEqual(whole);
    }
  });

  test("tells the head as sent", () => {
    expect(
      request("PUT /a?b HTTP/1.0\r\nHost: A\r\nX-a: 1 \r\nx-A:\r\nContent-Length: 2\r\n\r\nhi"),
    ).toEqual([
      [
        "head",
        {
          method: "PUT",
          target: "/a?b",
          status: 0,
          reason: "",
          version: "1.0",
          headers: ["Host", "A", "X-a", "1", "x-A", "", "Content-Length", "2"],
          upgrade: false,
          shouldKeepAlive: false,
        },
      ],
      ["body", "hi"],
      ["complete"],
    ]);
  });

  test("tells trailers, and what is behind them", () => {
    const events = request(`${CHUNKED}3\r\nabc\r\n0\r\nX-A: 1 \r\nX-B:\r\n\r\n${GET}`);
    expect(events.map(([kind]) => kind)).toEqual([
      "head",
      "body",
      "trailers",
      "complete",
      "head",
      "complete",
    ]);
    expect(events[2]).toEqual(["trailers", ["X-A", "1", "X-B", ""]]);
  });

  test("accepts a head of exactly the bound", () => {
    const frame = "GET / HTTP/1.1\r\nA: \r\n\r\n".length;
    const head = (length: number): string =>
      `GET / HTTP/1.1\r\nA: ${"a".repeat(length - frame)}\r\n\r\n`;
    expect(kindOf(request(head(MAX_HEAD_BYTES)))).toBeUndefined();
    expect(kindOf(request(head(MAX_HEAD_BYTES + 1)))).toBe("head-size");
  });

  test("takes ten thousand chunks of one byte", () => {
    const events = request(`${CHUNKED}${"1\r\na\r\n".repeat(10_000)}0\r\n\r\n`);
    expect(events.map(([kind]) => kind)).toEqual(["head", "body", "complete"]);
    expect(String(events[1]?.[1])).toHaveLength(10_000);
  });
});

describe("a parser of responses", () => {
  test("tells interim answers and the final one", () => {
    const events = response("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204\r\n\r\n");
    expect(events).toMatchObject([
      ["head", { status: 103, reason: "Early Hints", headers: ["Link", "a"] }],
      ["complete"],
      ["head", { status: 204, reason: "", headers: [] }],
      ["complete"],
    ]);
  });

  test("completes a body that lasts until the end, even an empty one", () => {
    expect(response("HTTP/1.1 200 OK\r\n\r\nabc").slice(1)).toEqual([
      ["body", "abc"],
      ["complete"],
    ]);
    expect(response("HTTP/1.0 200 OK\r\n\r\n").slice(1)).toEqual([["complete"]]);
  });

  test.each([
    ["a blank line first", "\r\nHTTP/1.1 200 OK\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
    ["a bare CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n"],
    ["a bare LF", "HTTP/1.1 200 OK\nA: 1\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
  ])("refuses %s, however it is cut", (_title, text) => {
    expect(kindOf(response(text))).toBe("malformed");
    expect(kindOf(parse("response", each(text)))).toBe("malformed");
  });

  test("refuses the end within a body", () => {
    expect(kindOf(response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))).toBe("end");
  });

  test("tells of no body behind the answer to HEAD", () => {
    const told: string[] = [];
    const parser = HttpParser.forResponses({
      onHead: ({ status }) => told.push(`head ${status}`),
      onBody: () => told.push("body"),
      onTrailers: () => told.push("trailers"),
      onComplete: () => {
        told.push("complete");
        parser.expectBody(true);
      },
    });
    parser.expectBody(false);
    parser.execute(
      bytes(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 1\r\n\r\na",
      ),
    );
    expect(told).toEqual(["head 200", "complete", "head 201", "body", "complete"]);
    parser.free();
  });
});

describe("a parser that is paused", () => {
  function pausing(when: "onHead" | "onComplete"): {
    readonly parser: HttpParser;
    readonly told: string[];
  } {
    const told: string[] = [];
    const note = (name: string): void => {
      told.push(name);
      if (name === when) parser.pause();
    };
    const parser: HttpParser = HttpParser.forRequests({
      onHead: () => {
        note("onHead");
      },
      onBody: () => {
        note("onBody");
      },
      onTrailers: () => {
        note("onTrailers");
      },
      onComplete: () => {
        note("onComplete");
      },
    });
    return { parser, told };
  }

  test.each([
    ["GET / HTTP/1.1\r\n\r\n", ["onHead", "onComplete"]],
    ["POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", ["onHead", "onBody", "onComplete"]],
  ])("in onHead has taken the head of %j and nothing more", (text, events) => {
    const { parser, told } = pausing("onHead");
    const end = text.indexOf("\r\n\r\n") + 4;
    expect(parser.execute(bytes(text))).toBe(end);
    expect(told).toEqual(["onHead"]);
    expect(parser.execute(bytes(text), end)).toBe(end);
    parser.resume();
    expect(parser.execute(bytes(text), end)).toBe(text.length);
    expect(told).toEqual(events);
    parser.free();
  });

  test("in onComplete has taken one message and nothing more", () => {
    const { parser, told } = pausing("onComplete");
    expect(parser.execute(bytes(GET + GET))).toBe(GET.length);
    parser.resume();
    expect(parser.execute(bytes(GET + GET), GET.length)).toBe(2 * GET.length);
    expect(told).toEqual(["onHead", "onComplete", "onHead", "onComplete"]);
    parser.free();
  });
});

describe("parsers side by side", () => {
  test("may run within each other's events", () => {
    const told: string[] = [];
    const inner = HttpParser.forResponses({
      onHead: ({ status }) => told.push(`inner ${status}`),
      onBody: (part) => told.push(`inner ${part.toString()}`),
      onTrailers: () => undefined,
      onComplete: () => told.push("inner complete"),
    });
    const outer = HttpParser.forRequests({
      onHead: ({ target }) => {
        told.push(`outer ${target}`);
        inner.execute(bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
      },
      onBody: (part) => told.push(`outer ${part.toString()}`),
      onTrailers: () => undefined,
      onComplete: () => told.push("outer complete"),
    });
    outer.execute(bytes("POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"));
    expect(told).toEqual([
      "outer /x",
      "inner 200",
      "inner ok",
      "inner complete",
      "outer abc",
      "outer complete",
    ]);
    outer.free();
    inner.free();
  });

  test("are clean when they come from the pool, whatever happened before", () => {
    for (const text of [
      "nonsense",
      "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
      "GET / HT",
    ]) {
      parse("request", one(text), false);
      expect(request(GET).map(([kind]) => kind)).toEqual(["head", "complete"]);
    }
  });

  test("refuse to be entered twice", () => {
    const parser: HttpParser = HttpParser.forRequests({
      onHead: () => parser.execute(bytes("x")),
      onBody: () => undefined,
      onTrailers: () => undefined,
      onComplete: () => undefined,
    });
    expect(() => parser.execute(bytes(GET))).toThrow("from within its own event");
    parser.free();
  });
});
