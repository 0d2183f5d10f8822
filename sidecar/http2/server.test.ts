/** HTTP/2 as a real client sees it: what holds over HTTP/1.1 holds here, stream by stream. */
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { tlsFolder } from "../../test/support/acceptor.ts";
import { bundle, layer, operations, rule } from "../../test/support/bundles.ts";
import { authority } from "../../test/support/certificates.ts";
import {
  FRAME,
  PREFACE,
  SETTING,
  data,
  headers,
  request,
  rst,
  settings,
} from "../../test/support/h2-frames.ts";
import type { H2Lane } from "../../test/support/h2-lane.ts";
import { exchange, openH2Lane } from "../../test/support/h2-lane.ts";
import { waitFor } from "../../test/support/wait.ts";
import { prepare, prepareClosed } from "../prepared.ts";

let lane: H2Lane;

beforeEach(async () => {
  lane = await openH2Lane();
});

afterEach(async () => {
  await lane[Symbol.asyncDispose]();
});

const codeOf = (body: string): unknown => (JSON.parse(body) as { readonly code: unknown }).code;
const get = (path = "/"): Record<string, string> => ({ ":path": path });
const post = (path = "/"): Record<string, string> => ({ ":path": path, ":method": "POST" });

describe("a permitted request", () => {
  test("reaches an HTTP/1.1 application with one Host, one cookie and no trace of HTTP/2", async () => {
    const answer = await exchange(lane.session(), {
      ":path": "/a%20b?x=%2F&y",
      ":authority": "Api.Example:80",
      "x-one": ["1", "2"],
      cookie: ["a=1", "b=2"],
      te: "trailers",
    });
    expect(answer).toMatchObject({ status: 200, body: "ok", code: 0 });
    expect(lane.upstream.requests[0]?.head).toBe(
      "GET /a%20b?x=%2F&y HTTP/1.1\r\nhost: Api.Example:80\r\nx-one: 1\r\nx-one: 2\r\ncookie: a=1; b=2\r\nConnection: keep-alive\r\n\r\n",
    );
    expect(lane.records).toMatchObject([
      { outcome: "permit", status: 200, method: "GET", path: "/a%20b", clientAddress: "127.0.0.1" },
    ]);
  });

  test("with a body of unknown length goes in chunks, with a known one by its length", async () => {
    const session = lane.session();
    expect((await exchange(session, post(), "hello")).body).toBe("ok");
    expect((await exchange(session, { ...post(), "content-length": 5 }, "hello")).body).toBe("ok");
    expect((await exchange(session, { ...post(), "content-length": 0 }, "")).body).toBe("ok");
    expect(lane.upstream.requests.map(({ body }) => body)).toEqual([
      "5\r\nhello\r\n0\r\n\r\n",
      "hello",
      "",
    ]);
    expect(lane.upstream.requests[0]?.head).toMatch(/\r\ntransfer-encoding: chunked\r\n/);
    expect(lane.upstream.requests[1]?.head).toMatch(/\r\ncontent-length: 5\r\n/);
  });

  test("without a body, where one is usual, says so", async () => {
    await exchange(lane.session(), post());
    expect(lane.upstream.requests[0]?.head).toMatch(/\r\ncontent-length: 0\r\n/);
  });

  test("has its trailers dropped: in HTTP/1.1 they could be taken for headers", async () => {
    const answer = await exchange(lane.session(), post(), (stream) => {
      stream.end("hello");
    });
    expect(answer.status).toBe(200);
    const trailing = await new Promise<number>((resolve) => {
      const stream = lane.session().request(post(), { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-user": "admin" }));
      stream.on("response", (headers) => resolve(Number(headers[":status"])));
      stream.resume();
      stream.end("hello");
    });
    expect(trailing).toBe(200);
    expect(lane.upstream.bytes).not.toMatch(/x-user/);
    expect(lane.upstream.requests).toHaveLength(2);
  });

  test("that waits for 100 is told to go on after the permit, and not before", async () => {
    const ask = { ...post(), expect: "100-continue", "content-length": 2 };
    const answer = await exchange(lane.session(), ask, (stream) => {
      stream.once("continue", () => stream.end("hi"));
    });
    expect(answer).toMatchObject({ status: 200, informational: [100] });
    expect(lane.upstream.requests[0]?.head).not.toMatch(/expect/i);
    lane.current = () => prepareClosed("policy.none", "nothing");
    expect(await exchange(lane.session(), ask, () => undefined)).toMatchObject({
      status: 503,
      informational: [],
      code: 0,
    });
  });

  test("that is large streams through, both ways, with little held", async () => {
    const mib = "x".repeat(1024 * 1024);
    lane.upstream.answer = `HTTP/1.1 200 OK\r\nContent-Length: ${8 * mib.length}\r\n\r\n${mib.repeat(8)}`;
    const answer = await exchange(lane.session(), post(), mib.repeat(4));
    expect(answer.code).toBe(0);
    expect(answer.body).toHaveLength(8 * mib.length);
    expect(lane.upstream.requests[0]?.body.replace(/[^x]/g, "")).toHaveLength(4 * mib.length);
  });
});

describe("an answer", () => {
  test("keeps its headers, less those of the connection, and its trailers", async () => {
    lane.upstream.answer =
      "HTTP/1.1 203 Odd\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\nKeep-Alive: timeout=9\r\nConnection: x-gone\r\nX-Gone: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Odd: caf\xe9\r\n\r\n3\r\none\r\n0\r\nX-Sum: 1\r\nSet-Cookie: c=3\r\n\r\n";
    const answer = await exchange(lane.session(), get());
    expect(answer).toMatchObject({ status: 203, body: "one", code: 0, trailers: { "x-sum": "1" } });
    expect(answer.headers).toMatchObject({ "set-cookie": ["a=1", "b=2"], "x-odd": "caf\xe9" });
    expect(answer.headers).not.toHaveProperty("keep-alive");
    expect(answer.headers).not.toHaveProperty("x-gone");
    expect(answer.trailers).not.toHaveProperty("set-cookie");
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", 200],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n", 204],
    ["GET", "HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n", 304],
  ])("to %s %j has no body", async (method, answer, status) => {
    lane.upstream.answer = answer;
    const session = lane.session();
    expect(await exchange(session, { ":path": "/", ":method": method })).toMatchObject({
      status,
      body: "",
      code: 0,
    });
    lane.upstream.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    expect((await exchange(session, get())).body).toBe("ok");
    expect(lane.records.map(({ outcome }) => outcome)).toEqual(["permit", "permit"]);
  });

  test("comes as it is made: the head before the body, each part before the next", async () => {
    let go: (text: string) => void = () => undefined;
    lane.upstream.answer = (_request, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
      go = (text) => socket.write(text);
    };
    const stream = lane.session().request(get());
    await new Promise((resolve) => stream.once("response", resolve));
    for (const text of ["one", "two"]) {
      go(text);
      const chunk = await new Promise((resolve) => stream.once("data", resolve));
      expect(String(chunk)).toBe(text);
    }
    stream.close();
  });

  test("that breaks off is a reset with INTERNAL_ERROR, and the other streams go on", async () => {
    const session = lane.session();
    lane.upstream.answer = (request, socket) => {
      if (request.head.startsWith("GET /cut")) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf");
        setImmediate(() => socket.destroy());
      } else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    };
    const [cut, whole] = await Promise.all([
      exchange(session, get("/cut")),
      exchange(session, get("/whole")),
    ]);
    expect(cut).toMatchObject({ status: 200, code: 2 });
    expect(whole).toMatchObject({ status: 200, body: "ok", code: 0 });
    expect((await exchange(session, get("/next"))).body).toBe("ok");
    await waitFor("the records", () => lane.records.length === 3);
    expect(lane.records.map(({ outcome }) => outcome).sort()).toEqual(["cut", "permit", "permit"]);
  });

  test("of an application that is not there is a refusal of ours", async () => {
    await lane.upstream.close();
    const answer = await exchange(lane.session(), get());
    expect({ status: answer.status, code: codeOf(answer.body) }).toEqual({
      status: 502,
      code: "upstream.refused",
    });
  });
});

describe("a refused request", () => {
  test("gets the same answer as over HTTP/1.1, and the connection serves on", async () => {
    const policy = await prepare(
      bundle({ layers: [layer({ operations: operations([rule("GET", "/ok")]) })] }),
    );
    lane.current = () => policy;
    const session = lane.session();
    const answer = await exchange(session, get("/other"));
    expect(answer).toMatchObject({ status: 403, code: 0 });
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(codeOf(answer.body)).toBe("operation.undeclared");
    const head = await exchange(session, { ":path": "/other", ":method": "HEAD" });
    expect(head).toMatchObject({ status: 403, body: "", code: 0 });
    expect((await exchange(session, get("/ok"))).status).toBe(200);
    expect(lane.upstream.requests).toHaveLength(1);
    expect(lane.records.map(({ outcome, code }) => [outcome, code])).toEqual([
      ["deny", "operation.undeclared"],
      ["deny", "operation.undeclared"],
      ["permit", undefined],
    ]);
  });

  test("does not use up the window with a body that nobody reads", async () => {
    lane.current = () => prepareClosed("policy.none", "nothing");
    const session = lane.session();
    for (let i = 0; i < 40; i++) {
      const answer = await exchange(session, post(), "x".repeat(60_000));
      expect(answer.status).toBe(503);
    }
    expect(lane.upstream.bytes).toBe("");
  });

  test("whose body never ends has its stream closed without an error", async () => {
    lane.current = () => prepareClosed("policy.none", "nothing");
    const session = lane.session();
    const answer = await exchange(session, post(), (stream) => stream.write("x"));
    expect(answer).toMatchObject({ status: 503, code: 0 });
    expect(codeOf(answer.body)).toBe("policy.none");
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.server.inFlight).toBe(0);
  });
});

describe("a caller that leaves", () => {
  test.each([
    ["with CANCEL", 8],
    ["with NO_ERROR, which Node takes for an end", 0],
  ])(
    "in the middle of its body, %s, leaves the application an unfinished request",
    async (_t, code) => {
      await using client = await lane.frames();
      client.send(
        headers(1, request("/", [], { method: "POST" }), { end: false }),
        data(1, "half", { end: false }),
      );
      await waitFor("the body", () => lane.upstream.bytes.endsWith("half\r\n"));
      client.send(rst(1, code));
      await waitFor("the record", () => lane.records.length === 1);
      await waitFor("the application to be let go", () => lane.upstream.connections === 0);
      expect(lane.records).toMatchObject([{ outcome: "gone", status: 0 }]);
      expect(lane.upstream.requests).toHaveLength(0);
      expect(lane.server.inFlight).toBe(0);
      client.send(headers(3, request("/")));
      expect(await client.answer(3)).toMatchObject({ status: 200, body: "ok" });
    },
  );

  test("while the application works lets the application go, and only there", async () => {
    lane.upstream.answer = (request, socket) => {
      if (request.head.startsWith("GET /quick")) socket.write("HTTP/1.1 204 Done\r\n\r\n");
    };
    const session = lane.session();
    const stream = session.request(get("/slow"));
    stream.on("error", () => undefined);
    await lane.upstream.request(0);
    stream.close(8);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "gone", path: "/slow" }]);
    expect((await exchange(session, get("/quick"))).status).toBe(204);
  });

  test("with its whole connection ends every request on it", async () => {
    lane.upstream.answer = () => undefined;
    const session = lane.session();
    const answers = ["/1", "/2", "/3"].map((path) => exchange(session, get(path)));
    await lane.upstream.request(2);
    session.destroy();
    await Promise.all(answers);
    await waitFor("the records", () => lane.records.length === 3);
    expect(lane.records.every(({ outcome }) => outcome === "gone")).toBe(true);
    await waitFor("the connection to be gone", () => lane.server.connections === 0);
    expect(lane.server.inFlight).toBe(0);
  });
});

describe("many streams", () => {
  test("are served side by side, each by the policy that it began with", async () => {
    const open = lane.current();
    const shut = prepareClosed("policy.none", "nothing");
    let seen = 0;
    lane.current = () => (++seen <= 50 ? open : shut);
    const answers: (() => void)[] = [];
    lane.upstream.answer = (_request, socket) => {
      answers.push(() => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
      // All fifty are at the application before the first is answered.
      if (answers.length === 50) for (const answer of answers) answer();
    };
    const session = lane.session();
    const responses = await Promise.all(
      Array.from({ length: 100 }, (_, i) => exchange(session, get(`/${i}`))),
    );
    expect(responses.filter(({ status, body }) => status === 200 && body === "ok")).toHaveLength(
      50,
    );
    expect(responses.filter(({ status }) => status === 503)).toHaveLength(50);
    expect(responses.every(({ code }) => code === 0)).toBe(true);
    expect(lane.records).toHaveLength(100);
    expect(lane.upstream.requests).toHaveLength(50);
  });
});

describe("a connection", () => {
  test("from the acceptor is served like any other, by prior knowledge", async () => {
    await using door = await openH2Lane({ acceptor: {} });
    expect(await exchange(door.session(), get())).toMatchObject({ status: 200, body: "ok" });
    await using slow = await door.frames({ hello: [] });
    for (const byte of Buffer.concat([PREFACE, settings([SETTING.tableSize, 0])])) {
      slow.send(Uint8Array.of(byte));
    }
    slow.send(headers(1, request("/")));
    expect(await slow.answer(1)).toMatchObject({ status: 200, body: "ok" });
  });

  test("from the acceptor over TLS is served like any other, by ALPN", async () => {
    const ca = await authority("Server CA");
    using folder = tlsFolder(await ca.issue({ dns: ["localhost"] }));
    await using door = await openH2Lane({ acceptor: { tls: folder.files } });
    const session = door.session({ ca: ca.cert });
    const body = "x".repeat(200_000);
    const ask = { ...post(), ":scheme": "https", ":authority": "localhost" };
    const answers = await Promise.all([1, 2, 3].map(() => exchange(session, ask, body)));
    expect(answers.map(({ status, code }) => [status, code])).toEqual([
      [200, 0],
      [200, 0],
      [200, 0],
    ]);
    expect(session.alpnProtocol).toBe("h2");
    const refused = await exchange(session, { ...get(), ":scheme": "http" });
    expect(codeOf(refused.body)).toBe("request.malformed");
    const drained = door.server.drain(new AbortController().signal);
    await drained;
    expect(door.server.connections).toBe(0);
  });

  test("that is encrypted asks for https, and one that is not for http", async () => {
    await using encrypted = await openH2Lane({ client: { tls: { version: "TLSv1.3" } } });
    const session = encrypted.session();
    expect((await exchange(session, { ...get(), ":scheme": "https" })).status).toBe(200);
    const refused = await exchange(session, { ...get(), ":scheme": "http" });
    expect(codeOf(refused.body)).toBe("request.malformed");
    expect(encrypted.upstream.requests).toHaveLength(1);
  });

  test("outlives the deadline for its first words once it has said them", async () => {
    await using hasty = await openH2Lane({ http2: { headersMs: 50 } });
    const [idle, busy] = [hasty.session(), hasty.session()];
    await exchange(idle, get());
    const until = performance.now() + 400;
    while (performance.now() < until) await exchange(busy, get());
    expect((await exchange(idle, get())).status).toBe(200);
    expect((await exchange(busy, get())).status).toBe(200);
  });

  test.each([
    ["with nothing under way", false],
    ["with a request under way, whose application is let go", true],
  ])("whose caller closes its half is over, %s", async (_title, asks) => {
    lane.upstream.answer = () => undefined;
    await using client = await lane.frames();
    await client.until("the SETTINGS", ({ type }) => type === FRAME.settings);
    if (asks) {
      client.send(headers(1, request("/")));
      await lane.upstream.request(0);
    }
    client.socket.end();
    await client.closed();
    await waitFor("the connection to be gone", () => lane.server.connections === 0);
    await waitFor("its request to end", () => lane.server.inFlight === 0);
    expect(lane.records.map(({ outcome }) => outcome)).toEqual(asks ? ["gone"] : []);
  });

  test("that resets takes nobody with it", async () => {
    const session = lane.session();
    await exchange(session, get());
    await using other = await lane.frames();
    other.send(headers(1, request("/"), { end: false }));
    other.socket.resetAndDestroy();
    await waitFor("it to be gone", () => lane.server.connections === 1);
    expect((await exchange(session, get())).body).toBe("ok");
  });
});

describe("loading", () => {
  test("the server leaves node:http2 alone until somebody speaks it", () => {
    const look = `await import("./sidecar/http2/server.ts");
      console.log(process.moduleLoadList.some((name) => name.includes("http2")));`;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", look], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(output.trim()).toBe("false");
  });
});

describe("drain()", () => {
  test("lets what is under way end, takes nothing new, and resolves with the last", async () => {
    let finish = (): void => undefined;
    lane.upstream.answer = (_request, socket) => {
      finish = () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    };
    const session = lane.session();
    const answer = exchange(session, get());
    await lane.upstream.request(0);
    const goaway = new Promise((resolve) => session.once("goaway", resolve));
    const drained = lane.server.drain(new AbortController().signal);
    expect(await goaway).toBe(0);
    finish();
    expect(await answer).toMatchObject({ status: 200, body: "ok", code: 0 });
    await drained;
    expect(lane.server.connections).toBe(0);
  });

  test("tells an idle connection to go at once", async () => {
    const session = lane.session();
    await exchange(session, get());
    await lane.server.drain(new AbortController().signal);
    expect(lane.server.connections).toBe(0);
  });

  test("cuts at the signal", async () => {
    lane.upstream.answer = () => undefined;
    const answer = exchange(lane.session(), get());
    await lane.upstream.request(0);
    const cut = new AbortController();
    const drained = lane.server.drain(cut.signal);
    cut.abort();
    await drained;
    expect((await answer).status).toBe(0);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "gone" }]);
  });
});
