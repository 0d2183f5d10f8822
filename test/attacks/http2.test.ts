/**
 * Attacks in HTTP/2 as data: frames as no client library writes them, against the real server in front of a
 * real upstream that keeps every byte. A row ends with a refusal, a reset or a GOAWAY, the upstream untouched;
 * and where only the stream was at fault, the next one on the same connection is served.
 */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { DENIALS } from "../../policy/denials.ts";
import { prepare } from "../../sidecar/prepared.ts";
import type { Field, FrameClient } from "../support/h2-frames.ts";
import {
  FLAG,
  FRAME,
  PREFACE,
  SETTING,
  block,
  data,
  frame,
  headers,
  request,
  rst,
  settings,
  windowUpdate,
} from "../support/h2-frames.ts";
import type { H2Lane } from "../support/h2-lane.ts";
import { openH2Lane } from "../support/h2-lane.ts";
import { waitFor } from "../support/wait.ts";
import { attackPolicy } from "./policy.ts";
import { attackTokens } from "./tokens.ts";

const PROTOCOL_ERROR = 1;
const INTERNAL_ERROR = 2;
const FLOW_CONTROL_ERROR = 3;
const SETTINGS_TIMEOUT = 4;
const FRAME_SIZE_ERROR = 6;
const REFUSED_STREAM = 7;
const CANCEL = 8;
const ENHANCE_YOUR_CALM = 11;

const tokens = attackTokens(Date.now());
const prepared = await prepare(attackPolicy(tokens.jwks));

let lane: H2Lane;

beforeEach(async () => {
  lane = await openH2Lane();
  lane.current = () => prepared;
});

afterEach(async () => {
  await lane[Symbol.asyncDispose]();
});

interface StreamRow {
  readonly title: string;
  readonly why: string;
  /** On stream 1. */
  readonly send: readonly Uint8Array[];
  readonly reset?: number;
  readonly status?: number;
  readonly code?: keyof typeof DENIALS;
  readonly upstream: "untouched" | "served";
  /** Header lines that the application must have got. */
  readonly has?: readonly string[];
  readonly lacks?: readonly string[];
}

const ping = (more: readonly Field[] = [], options = {}): Uint8Array =>
  headers(1, request("/ping", more, options));
const posted = (more: readonly Field[], ...bodies: readonly Uint8Array[]): Uint8Array[] => [
  headers(1, request("/ping", more, { method: "POST" }), { end: false }),
  ...bodies,
];
const bare = (...fields: readonly Field[]): readonly Uint8Array[] => [headers(1, fields)];
const reset = (title: string, why: string, send: readonly Uint8Array[]): StreamRow => ({
  title,
  why,
  send,
  reset: PROTOCOL_ERROR,
  upstream: "untouched",
});
const refused = (
  title: string,
  why: string,
  send: readonly Uint8Array[],
  code: keyof typeof DENIALS,
): StreamRow => ({ title, why, send, code, status: DENIALS[code].status, upstream: "untouched" });

const STREAMS: readonly StreamRow[] = [
  {
    title: "an honest request passes",
    why: "What the rows below bend.",
    send: [ping([["x-one", "1"]])],
    status: 200,
    upstream: "served",
    has: ["host: api.example", "x-one: 1"],
  },
  {
    title: "an honest body passes, with its length",
    why: "What the rows below bend.",
    send: posted([["content-length", "5"]], data(1, "hello")),
    status: 200,
    upstream: "served",
    has: ["content-length: 5"],
  },
  {
    title: "a token passes, with what it proves and without what the caller claims",
    why: "Identity headers of a caller never cross, in no spelling.",
    send: [
      headers(
        1,
        request("/orders/1", [
          ["authorization", `Bearer ${tokens.get("valid")}`],
          ["x-postern-subject", "root"],
          ["x_postern_subject", "root"],
        ]),
      ),
    ],
    status: 200,
    upstream: "served",
    lacks: ["x_postern_subject"],
  },
  {
    title: "frames of unknown types are ignored",
    why: "RFC 9113 §4.1: extensions may come.",
    send: [frame(0x55, 0xff, 1, Buffer.from("x")), ping()],
    status: 200,
    upstream: "served",
  },
  {
    title: "padding is no body",
    why: "RFC 9113 §6.1: padding is taken off before the body is counted.",
    send: posted(
      [["content-length", "2"]],
      frame(FRAME.data, FLAG.padded | FLAG.endStream, 1, Buffer.from("\x03hi\0\0\0", "latin1")),
    ),
    status: 200,
    upstream: "served",
    has: ["content-length: 2"],
  },
  reset("a :path without a slash", "CVE-2026-33186: rules by path would not see it.", [
    headers(1, request("ping")),
  ]),
  refused(
    "a :path without a slash under another scheme",
    "CVE-2026-33186: the parser looks at :path only for http and https.",
    [headers(1, request("ping", [], { scheme: "ftp" }))],
    "request.malformed",
  ),
  reset("an empty :path", "RFC 9113 §8.3.1.", [headers(1, request(""))]),
  reset("a :path of one asterisk", "It is for OPTIONS alone.", [headers(1, request("*"))]),
  refused(
    "OPTIONS *",
    "It addresses the server, so no rule by path can hold.",
    [headers(1, request("*", [], { method: "OPTIONS" }))],
    "request.path",
  ),
  refused(
    "an absolute :path",
    "An application may take its host from it.",
    [headers(1, request("http://evil.example/ping", [], { scheme: "ftp" }))],
    "request.malformed",
  ),
  refused(
    "dot segments in :path",
    "CVE-2019-9901; the same rules as over HTTP/1.1.",
    [headers(1, request("/public/../orders/1"))],
    "request.path",
  ),
  refused(
    "an encoded slash in :path",
    "CVE-2021-29492; the same rules as over HTTP/1.1.",
    [headers(1, request("/public%2f..%2forders"))],
    "request.path",
  ),
  refused(
    "a byte above ASCII in :path",
    "Decoders disagree on it.",
    [headers(1, request("/public/\xe9"))],
    "request.path",
  ),
  reset("a space in :path", "It would end the target in HTTP/1.1 (request splitting).", [
    headers(1, request("/ping HTTP/1.1")),
  ]),
  reset("a line break in :path", "Request splitting on the way down to HTTP/1.1.", [
    headers(1, request("/ping HTTP/1.1\r\nX: y")),
  ]),
  reset("a line break in :method", "Request splitting on the way down to HTTP/1.1.", [
    ping([], { method: "GET / HTTP/1.1\r\nX:" }),
  ]),
  reset("a line break in :authority", "Header injection on the way down to HTTP/1.1.", [
    ping([], { authority: "a\r\nx: y" }),
  ]),
  reset("a path in :authority", "It would be part of the target for some.", [
    ping([], { authority: "a/x" }),
  ]),
  reset("user information in :authority", "RFC 9113 §8.3.1.", [ping([], { authority: "u@a" })]),
  reset("an empty :authority", "RFC 9110 §7.2: whose request would it be?", [
    ping([], { authority: "" }),
  ]),
  refused(
    "a trailing dot in :authority",
    "CVE-2022-23632; the same rules as over HTTP/1.1.",
    [ping([], { authority: "api.example." })],
    "request.host",
  ),
  reset("neither :authority nor Host", "RFC 9113 §8.3.1.", [
    ...bare([":method", "GET"], [":scheme", "http"], [":path", "/ping"]),
  ]),
  {
    title: "Host in place of :authority",
    why: "RFC 9113 §8.3.1: a translation from HTTP/1.1 may look like this.",
    send: bare([":method", "GET"], [":scheme", "http"], [":path", "/ping"], ["host", "b.example"]),
    status: 200,
    upstream: "served",
    has: ["host: b.example"],
  },
  refused(
    "Host and :authority that disagree",
    "The two ends would see different hosts.",
    [ping([["host", "b.example"]])],
    "request.host",
  ),
  reset("two Hosts", "One of them would be taken.", [
    ping([
      ["host", "api.example"],
      ["host", "api.example"],
    ]),
  ]),
  refused(
    "another :scheme than the connection's",
    "CVE-2023-35944; an application may skip its redirect to https.",
    [ping([], { scheme: "https" })],
    "request.malformed",
  ),
  refused(
    "a :scheme in upper case",
    "CVE-2023-35944.",
    [ping([], { scheme: "HTTP" })],
    "request.malformed",
  ),
  reset("no :method", "RFC 9113 §8.3.1.", [
    ...bare([":scheme", "http"], [":path", "/ping"], [":authority", "a"]),
  ]),
  reset("a pseudo-header twice", "RFC 9113 §8.3: one of them would be taken.", [
    ...bare(...request("/ping"), [":path", "/orders"]),
  ]),
  reset("a pseudo-header behind a header", "RFC 9113 §8.3.", [
    ...bare(
      [":method", "GET"],
      ["x", "1"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "a"],
    ),
  ]),
  reset("an unknown pseudo-header", "RFC 9113 §8.3.", bare(...request("/ping"), [":x", "1"])),
  reset(
    "a response's pseudo-header",
    "RFC 9113 §8.3.",
    bare(...request("/ping"), [":status", "200"]),
  ),
  refused(
    "CONNECT",
    "A tunnel escapes policy.",
    bare([":method", "CONNECT"], [":authority", "a:1"]),
    "request.method",
  ),
  reset(
    "extended CONNECT",
    "RFC 8441 §3: we have not offered it, and a tunnel escapes policy.",
    bare(...request("/ping", [], { method: "CONNECT" }), [":protocol", "websocket"]),
  ),
  refused("TRACE", "It echoes credentials.", [ping([], { method: "TRACE" })], "request.method"),
  reset("an upper-case header name", "RFC 9113 §8.2.1.", [ping([["X-Upper", "1"]])]),
  ...(
    [
      ["connection", "x-user"],
      ["keep-alive", "timeout=1"],
      ["proxy-connection", "close"],
      ["transfer-encoding", "chunked"],
      ["upgrade", "websocket"],
      ["te", "gzip"],
    ] as const
  ).map((field) =>
    reset(
      `the header "${field[0]}: ${field[1]}"`,
      "RFC 9113 §8.2.2: behind us it would steer the connection or the framing.",
      [ping([field])],
    ),
  ),
  refused(
    "the header HTTP2-Settings",
    "RFC 9113 §8.2.2: it is of a connection, and the parser lets it pass.",
    [ping([["http2-settings", "AAMAAABk"]])],
    "request.malformed",
  ),
  reset(
    "a Content-Length without a body",
    "RFC 9113 §8.1.1: behind us, the next request would be the body.",
    [ping([["content-length", "5"]])],
  ),
  reset("two Content-Lengths", "RFC 9110 §8.6.", [
    ...posted(
      [
        ["content-length", "5"],
        ["content-length", "5"],
      ],
      data(1, "hello"),
    ),
  ]),
  reset("a Content-Length that is no number", "Lenient parsers disagree.", [
    ...posted([["content-length", "5x"]], data(1, "hello")),
  ]),
  {
    title: "a line break in a header's value",
    why: "Header injection on the way down to HTTP/1.1. The parser leaves the field out before we see it.",
    send: [ping([["x", "a\r\nx-user: admin"]])],
    status: 200,
    upstream: "served",
    lacks: ["x", "x-user"],
  },
  {
    title: "a NUL in a header's value",
    why: "CVE-2019-9900. The parser leaves the field out before we see it.",
    send: [ping([["x", "a\0b"]])],
    status: 200,
    upstream: "served",
    lacks: ["x"],
  },
  {
    title: "a colon and a space in a header's name",
    why: "Header injection on the way down to HTTP/1.1. The parser leaves the field out before we see it.",
    send: [ping([["x-user: admin", "1"]])],
    status: 200,
    upstream: "served",
    lacks: ["x-user"],
  },
  refused(
    "an underscore alias of a forwarding header",
    "CVE-2026-39858; the same rules as over HTTP/1.1.",
    [ping([["x_forwarded_for", "1.2.3.4"]])],
    "request.header",
  ),
  refused(
    "two Authorization headers",
    "It is not clear whose call it is.",
    [
      ping([
        ["authorization", "Bearer a"],
        ["authorization", "Bearer b"],
      ]),
    ],
    "request.header",
  ),
  {
    title: "cookie crumbs",
    why: "RFC 9113 §8.2.3: two Cookie lines in HTTP/1.1 would be read by two readers.",
    send: [
      ping([
        ["cookie", "a=1"],
        ["cookie", "b=2"],
      ]),
    ],
    status: 200,
    upstream: "served",
    has: ["cookie: a=1; b=2"],
  },
  refused(
    "a credential cut into cookie crumbs with another",
    "The crumbs are one header before anybody looks for credentials in it.",
    [
      ping([
        ["cookie", `session=${tokens.get("valid")}`],
        ["cookie", `session=${tokens.get("valid")}`],
      ]),
    ],
    "authn.ambiguous",
  ),
  refused(
    "headers above 32 KiB",
    "The head is bounded, as over HTTP/1.1.",
    [
      frame(FRAME.headers, FLAG.endStream, 1, block(request("/ping", [["x", "a".repeat(16_000)]]))),
      frame(FRAME.continuation, 0, 1, block([["y", "a".repeat(16_000)]])),
      frame(FRAME.continuation, FLAG.endHeaders, 1, block([["z", "a".repeat(2_000)]])),
    ],
    "request.header-size",
  ),
  refused(
    "more than 100 header lines",
    "The head is bounded, as over HTTP/1.1.",
    [ping(Array.from({ length: 101 }, (_, i): Field => [`x${i}`, "1"]))],
    "request.header-size",
  ),
  {
    title: "more fields than anybody counts",
    why: "CVE-2016-6581: an HPACK bomb is cut before it is unpacked.",
    send: [ping(Array.from({ length: 200 }, (_, i): Field => [`x${i}`, "1"]))],
    reset: ENHANCE_YOUR_CALM,
    upstream: "untouched",
  },
];

describe("a stream at fault", () => {
  test.each(STREAMS.map((row) => [row.title, row] as const))("%s", async (_title, row) => {
    await using client = await lane.frames();
    client.send(...row.send);
    const answer = await client.answer(1);
    if (row.reset === undefined) {
      expect({ status: answer.status, reset: answer.reset }).toEqual({ status: row.status });
      if (row.code !== undefined) {
        expect((JSON.parse(answer.body) as { readonly code: unknown }).code).toBe(row.code);
        await waitFor("the record", () => lane.records.length === 1);
        expect(lane.records).toMatchObject([{ outcome: "deny", code: row.code }]);
      }
    } else {
      expect(answer).toEqual({ status: 0, body: "", reset: row.reset });
    }
    if (row.upstream === "untouched") expect(lane.upstream.bytes).toBe("");
    else expect(lane.upstream.requests).toHaveLength(1);
    const lines = (lane.upstream.requests[0]?.head ?? "").toLowerCase().split("\r\n");
    for (const line of row.has ?? []) expect(lines).toContain(line);
    const names = lines.map((line) => line.split(":", 1)[0]);
    for (const name of row.lacks ?? []) expect(names).not.toContain(name);

    client.send(headers(3, request("/ping")));
    expect(await client.answer(3)).toMatchObject({ status: 200, body: "ok" });
  });
});

interface ConnectionRow {
  readonly title: string;
  readonly why: string;
  /** In place of preface and SETTINGS. */
  readonly hello?: readonly Uint8Array[];
  readonly send: readonly Uint8Array[];
  readonly goaway: number;
  /** Of the metric. */
  readonly reason: string;
}

/** How often the server has ended a connection or a stream, by reason. */
function endings({ metrics }: H2Lane): Readonly<Record<string, number>> {
  const lines = metrics
    .render()
    .matchAll(/^postern_http2_ended_total\{reason="([^"]+)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, reason = "", count]) => [reason, Number(count)]));
}

function ended(of: H2Lane): number {
  return Object.values(endings(of)).reduce((sum, count) => sum + count, 0);
}

const times = (count: number, make: (index: number) => Uint8Array): Uint8Array[] =>
  Array.from({ length: count }, (_, index) => make(index));
const violation = (
  title: string,
  why: string,
  send: readonly Uint8Array[],
  goaway = PROTOCOL_ERROR,
): ConnectionRow => ({ title, why, send, goaway, reason: "protocol" });

const CONNECTIONS: readonly ConnectionRow[] = [
  {
    title: "requests that are reset at once, a thousand in one breath",
    why: "CVE-2023-44487, rapid reset: Node gives up before we have counted, and nothing was decided.",
    send: times(1_000, (i) =>
      Buffer.concat([headers(2 * i + 1, request("/ping")), rst(2 * i + 1, CANCEL)]),
    ),
    goaway: INTERNAL_ERROR,
    reason: "stream-flood",
  },
  {
    title: "malformed requests in one breath",
    why: "Each costs a header block and a reset, and no check ever sees it.",
    send: times(150, (i) => headers(2 * i + 1, request("/ping", [["connection", "x"]]))),
    goaway: PROTOCOL_ERROR,
    reason: "protocol",
  },
  {
    title: "a flood of PING",
    why: "CVE-2019-9512: every one must be answered.",
    send: times(500, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    goaway: ENHANCE_YOUR_CALM,
    reason: "ping-flood",
  },
  {
    title: "a flood of SETTINGS",
    why: "CVE-2019-9515: every one must be acknowledged.",
    send: times(200, () => settings()),
    goaway: ENHANCE_YOUR_CALM,
    reason: "settings-flood",
  },
  {
    title: "a flood of DATA without data",
    why: "CVE-2019-9518: it costs no window.",
    send: [
      headers(1, request("/ping", [], { method: "POST" }), { end: false }),
      ...times(200, () => data(1, "", { end: false })),
    ],
    goaway: INTERNAL_ERROR,
    reason: "invalid-frames",
  },
  {
    title: "a flood of CONTINUATION",
    why: "CVE-2024-27983: a head without an end.",
    send: [
      frame(FRAME.headers, FLAG.endStream, 1, block(request("/ping"))),
      ...times(50, (i) => frame(FRAME.continuation, 0, 1, block([[`x${i}`, "1"]]))),
    ],
    goaway: INTERNAL_ERROR,
    reason: "protocol",
  },
  violation(
    "more streams than were granted, and knowingly",
    "RFC 9113 §5.1.2.",
    times(110, (i) => headers(2 * i + 1, request("/ping"))),
  ),
  violation("DATA on a stream that was never opened", "RFC 9113 §5.1.", [data(1, "x")]),
  violation("a stream with an even number", "RFC 9113 §5.1.1.", [headers(2, request("/ping"))]),
  violation("another stream's frame within a header block", "RFC 9113 §6.2.", [
    frame(FRAME.headers, FLAG.endStream, 1, block(request("/ping"))),
    headers(3, request("/ping")),
  ]),
  violation("PUSH_PROMISE from a client", "RFC 9113 §8.4.", [
    frame(FRAME.push, FLAG.endHeaders, 1, Buffer.from([0, 0, 0, 2])),
  ]),
  violation("a window update of nothing", "RFC 9113 §6.9.", [windowUpdate(0, 0)]),
  violation(
    "a window that overflows",
    "RFC 9113 §6.9.1.",
    [windowUpdate(0, 0x7fffffff)],
    FLOW_CONTROL_ERROR,
  ),
  violation(
    "an initial window above the maximum",
    "RFC 9113 §6.5.2.",
    [settings([SETTING.window, 0x80000000])],
    FLOW_CONTROL_ERROR,
  ),
  violation(
    "a frame above the maximum size",
    "RFC 9113 §4.2.",
    [frame(FRAME.data, 0, 1, Buffer.alloc(20_000))],
    FRAME_SIZE_ERROR,
  ),
  violation(
    "a PING of the wrong size",
    "RFC 9113 §6.7.",
    [frame(FRAME.ping, 0, 0, Buffer.alloc(7))],
    FRAME_SIZE_ERROR,
  ),
  violation("a SETTINGS frame on a stream", "RFC 9113 §6.5.", [frame(FRAME.settings, 0, 1)]),
  violation(
    "a header block that is not HPACK",
    "RFC 7541 §2.3.3: the table would be out of step.",
    [
      frame(
        FRAME.headers,
        FLAG.endStream | FLAG.endHeaders,
        1,
        Buffer.from([0xff, 0xff, 0xff, 0xff]),
      ),
    ],
    9,
  ),
  {
    title: "what only begins like HTTP/2",
    why: "RFC 9113 §3.4: the preface is exact.",
    hello: [Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "latin1"), settings()],
    send: [headers(1, request("/ping"))],
    goaway: INTERNAL_ERROR,
    reason: "protocol",
  },
];

describe("a connection at fault", () => {
  test.each(CONNECTIONS.map((row) => [row.title, row] as const))("%s", async (_title, row) => {
    await using client = await lane.frames(row.hello === undefined ? {} : { hello: row.hello });
    await using other = await lane.frames();
    await client.until("the SETTINGS", ({ type }) => type === FRAME.settings);
    client.send(...row.send);
    expect(await client.closed()).toBe(row.goaway);
    await waitFor("its end", () => ended(lane) > 0);
    expect(endings(lane)).toEqual({ [row.reason]: 1 });
    expect(lane.upstream.requests).toHaveLength(0);
    await waitFor("its requests to end", () => lane.server.inFlight === 0);
    other.send(headers(1, request("/ping")));
    expect(await other.answer(1)).toMatchObject({ status: 200, body: "ok" });
  });
});

/** Rounds of frames, each taken by the server before the next comes; ends early when the server ends it. */
async function paced(
  client: FrameClient,
  rounds: number,
  make: (index: number) => Uint8Array,
): Promise<void> {
  const perRound = 25;
  for (let round = 0; round < rounds; round++) {
    const mark = Buffer.alloc(8, round + 1);
    client.send(
      ...times(perRound, (i) => make(round * perRound + i)),
      frame(FRAME.ping, 0, 0, mark),
    );
    const isOver = await client
      .until("the echo", ({ type, payload }) => type === FRAME.ping && payload.equals(mark))
      .then(
        () => false,
        () => true,
      );
    if (isOver) return;
  }
}

describe("a flood that takes its time", () => {
  const flood = { resets: { burst: 50, perSecond: 0 }, pings: { burst: 1_000, perSecond: 0 } };
  const rapid = (i: number): Uint8Array =>
    Buffer.concat([headers(2 * i + 1, request("/ping")), rst(2 * i + 1, CANCEL)]);
  /** A body that is shorter than it said: a stream's error. */
  const provoking = (i: number): Uint8Array =>
    Buffer.concat([
      headers(2 * i + 1, request("/ping", [["content-length", "5"]], { method: "POST" }), {
        end: false,
      }),
      data(2 * i + 1, "abc"),
    ]);

  test.each([
    ["resets what it asks for (CVE-2023-44487, rapid reset)", rapid],
    ["provokes resets of ours (CVE-2025-8671, MadeYouReset)", provoking],
  ])("and %s has a budget", async (_title, make) => {
    await using slow = await openH2Lane({ http2: flood });
    await using client = await slow.frames();
    await paced(client, 8, make);
    expect(await client.closed()).toBe(ENHANCE_YOUR_CALM);
    await waitFor("its end", () => ended(slow) > 0);
    expect(endings(slow)).toEqual({ "reset-flood": 1 });
    expect(slow.upstream.requests).toHaveLength(0);
    await waitFor("its requests to end", () => slow.server.inFlight === 0);
  });

  test("and asks for malformed requests only is ended by Node", async () => {
    await using client = await lane.frames();
    await paced(client, 8, (i) => headers(2 * i + 1, request("/ping", [["connection", "x"]])));
    expect(await client.closed()).toBe(INTERNAL_ERROR);
    await waitFor("its end", () => ended(lane) > 0);
    expect(endings(lane)).toEqual({ "invalid-frames": 1 });
  });

  test("is none when each reset has an answered request beside it", async () => {
    await using busy = await openH2Lane({
      http2: { resets: { burst: 2, perSecond: 0 } },
    });
    await using client = await busy.frames();
    for (let i = 0; i < 10; i++) {
      client.send(headers(4 * i + 1, request("/ping")), rst(4 * i + 1, CANCEL));
      client.send(headers(4 * i + 3, request("/ping")));
      expect(await client.answer(4 * i + 3)).toMatchObject({ status: 200, body: "ok" });
    }
    expect(endings(busy)).toEqual({});
  });
});

describe("a connection that holds on", () => {
  test("without a preface has a deadline", async () => {
    await using hasty = await openH2Lane({ http2: { headersMs: 100 } });
    await using client = await hasty.frames({ hello: [PREFACE], acknowledges: false });
    expect(await client.closed()).toBe(SETTINGS_TIMEOUT);
    expect(hasty.metrics.value("postern_http2_ended_total", "hello-timeout")).toBe(1);
  });

  test("without requests is told to go, whatever it pings", async () => {
    await using hasty = await openH2Lane({ http2: { keepAliveMs: 200 } });
    await using client = await hasty.frames();
    client.send(headers(1, request("/ping")));
    expect(await client.answer(1)).toMatchObject({ status: 200 });
    client.send(frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
    expect(await client.closed()).toBe(0);
    expect(hasty.metrics.value("postern_http2_ended_total", "idle")).toBe(1);
  });

  test("in the middle of a header block has no longer than one without requests", async () => {
    await using hasty = await openH2Lane({ http2: { keepAliveMs: 200 } });
    await using client = await hasty.frames();
    await client.until("the SETTINGS", ({ type }) => type === FRAME.settings);
    client.send(frame(FRAME.headers, FLAG.endStream, 1, block(request("/ping"))));
    expect(await client.closed()).toBe(0);
    expect(hasty.upstream.bytes).toBe("");
  });

  test("with a request and not a byte more is ended", async () => {
    await using hasty = await openH2Lane({ http2: { idleMs: 200 }, responseHeadMs: 10_000 });
    hasty.upstream.answer = () => undefined;
    await using client = await hasty.frames();
    client.send(headers(1, request("/ping")));
    await client.closed();
    expect(hasty.metrics.value("postern_http2_ended_total", "idle")).toBe(1);
    await waitFor("the record", () => hasty.records.length === 1);
    expect(hasty.records).toMatchObject([{ outcome: "gone" }]);
  });

  test("beyond its age takes no new request and ends those under way", async () => {
    await using old = await openH2Lane({ http2: { maxAgeMs: 300 } });
    let finish = (): void => undefined;
    old.upstream.answer = (_request, socket) => {
      finish = () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    };
    await using client = await old.frames();
    client.send(headers(1, request("/ping")));
    await client.until("GOAWAY", ({ type }) => type === FRAME.goaway);
    client.send(headers(3, request("/late")));
    finish();
    expect(await client.answer(1)).toMatchObject({ status: 200, body: "ok" });
    await client.closed();
    expect(old.upstream.requests).toHaveLength(1);
    expect(old.metrics.value("postern_http2_ended_total", "age")).toBe(1);
  });

  test("with a window that stays shut loses the stream, and holds little until then", async () => {
    await using hasty = await openH2Lane({ http2: { stallMs: 300 } });
    let sent = 0;
    hasty.upstream.answer = (seen, socket) => {
      if (seen.head.startsWith("GET /small")) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        return;
      }
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
      const pour = (): void => {
        while (!socket.destroyed && socket.write("x".repeat(65_536))) sent += 65_536;
      };
      socket.on("drain", pour);
      pour();
    };
    // One octet of window: the stream is not blocked, it crawls.
    await using client = await hasty.frames({
      hello: [PREFACE, settings([SETTING.tableSize, 0], [SETTING.window, 1])],
    });
    client.send(headers(1, request("/large")));
    expect(await client.answer(1)).toMatchObject({ status: 200, reset: ENHANCE_YOUR_CALM });
    // What lies in kernel buffers and ours; nothing near the 100 MB.
    expect(sent).toBeLessThan(16 * 1024 * 1024);
    expect(hasty.metrics.value("postern_http2_ended_total", "stall")).toBe(1);
    await waitFor("the record", () => hasty.records.length === 1);
    expect(hasty.records).toMatchObject([{ outcome: "gone", status: 200 }]);
    await waitFor("the application to be let go", () => hasty.upstream.connections === 0);
    client.send(headers(3, request("/small")), windowUpdate(3, 100));
    expect(await client.answer(3)).toMatchObject({ status: 200, body: "ok" });
  });

  test("with more streams than it knows of being too many has the rest refused, to be tried again", async () => {
    const waiting: (() => void)[] = [];
    lane.upstream.answer = (_request, socket) => {
      waiting.push(() => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    };
    await using client = await lane.frames({ acknowledges: false });
    client.send(...times(110, (i) => headers(2 * i + 1, request("/ping"))));
    for (let i = 100; i < 110; i++) {
      expect((await client.answer(2 * i + 1)).reset).toBe(REFUSED_STREAM);
    }
    await waitFor("the hundred", () => waiting.length === 100);
    for (const finish of waiting) finish();
    for (let i = 0; i < 100; i++) {
      expect(await client.answer(2 * i + 1)).toMatchObject({ status: 200, body: "ok" });
    }
    expect(lane.upstream.requests).toHaveLength(100);
  });
});

describe("a body at fault", () => {
  test("that is shorter than it said resets its stream, and the application has no whole request", async () => {
    await using client = await lane.frames();
    client.send(...posted([["content-length", "9"]], data(1, "hello")));
    expect((await client.answer(1)).reset).toBe(PROTOCOL_ERROR);
    client.send(headers(3, request("/ping")));
    expect(await client.answer(3)).toMatchObject({ status: 200 });
    expect(lane.upstream.requests).toHaveLength(1);
    expect(lane.upstream.requests[0]?.head).toMatch(/^GET /);
  });

  test("that is longer than it said ends the connection, and nothing of the rest is sent", async () => {
    await using client = await lane.frames();
    const smuggled = "GET /orders/1 HTTP/1.1\r\nHost: api.example\r\n\r\n";
    client.send(...posted([["content-length", "5"]], data(1, `hello${smuggled}`)));
    await client.closed();
    await waitFor("the record", () => lane.server.inFlight === 0);
    expect(lane.upstream.bytes).not.toMatch(/orders/);
    expect(lane.upstream.requests).toHaveLength(0);
  });

  test("behind its trailers, or with pseudo-headers in them, is reset", async () => {
    for (const trailers of [
      headers(1, [[":path", "/orders/1"]]),
      headers(1, [["x", "1"]], { end: false }),
      headers(1, [["transfer-encoding", "chunked"]]),
    ]) {
      await using client = await lane.frames();
      client.send(...posted([], data(1, "hello", { end: false }), trailers));
      expect((await client.answer(1)).reset).toBe(PROTOCOL_ERROR);
      await waitFor("its end", () => lane.server.inFlight === 0);
      expect(lane.upstream.requests).toHaveLength(0);
    }
  });
});

describe("the table", () => {
  const rows = [...STREAMS, ...CONNECTIONS];

  test("has enough rows, each with a reason and a title of its own", () => {
    expect(rows.length).toBeGreaterThanOrEqual(60);
    for (const { why } of rows) expect(why.length).toBeGreaterThan(10);
    expect(new Set(rows.map(({ title }) => title)).size).toBe(rows.length);
  });
});
