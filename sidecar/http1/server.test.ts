import type { Socket } from "node:net";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Lane } from "../../test/support/lane.ts";
import { openLane } from "../../test/support/lane.ts";
import { OK } from "../../test/support/upstream.ts";
import { waitFor } from "../../test/support/wait.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CONNECT = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";

let lane: Lane;

beforeEach(async () => {
  lane = await openLane();
});

afterEach(async () => {
  await lane[Symbol.asyncDispose]();
});

describe("a connection that is reset", () => {
  test.each([
    ["before a request", ""],
    ["within a head", "GET / HTTP/1.1\r\nHost"],
    ["within a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"],
    ["after a CONNECT, which Node leaves without a listener for errors", CONNECT],
    ["after what is no request", "nonsense\r\n\r\n"],
  ])("%s does not touch the others", async (_title, bytes) => {
    const client = await lane.client();
    client.send(bytes);
    if (bytes.includes("\r\n\r\n") && !bytes.startsWith("POST")) await client.response();
    client.socket.resetAndDestroy();
    await waitFor("the connection to be gone", () => lane.path.connections === 0);
    await using other = await lane.client();
    other.send(GET);
    expect((await other.response()).status).toBe(200);
  });
});

describe("CONNECT", () => {
  test("behind a request that waits for its answer comes after that answer", async () => {
    let finish = (): void => undefined;
    lane.upstream.answer = (_request, socket) => {
      finish = () => socket.write(OK);
    };
    await using client = await lane.client();
    client.send(GET + CONNECT + GET);
    await lane.upstream.request(0);
    expect(client.received).toBe("");
    finish();
    expect((await client.response()).body).toBe("ok");
    expect((await client.response()).status).toBe(405);
    expect(await client.closed()).toBe("");
    expect(lane.upstream.requests).toHaveLength(1);
    expect(lane.records).toMatchObject([
      { outcome: "permit", path: "/" },
      { outcome: "deny", code: "request.method" },
    ]);
  });

  test("ends its connection: nothing behind it is read", async () => {
    await using client = await lane.client();
    client.send(CONNECT + GET);
    expect((await client.response()).status).toBe(405);
    expect(await client.closed()).toBe("");
    expect(lane.upstream.bytes).toBe("");
    expect(lane.records).toMatchObject([{ outcome: "deny", code: "request.method" }]);
  });
});

describe("the number of connections", () => {
  test("is bounded: one more is dropped and counted, and those that are there go on", async () => {
    await using full = await openLane({ limits: { maxConnections: 1 } });
    await using first = await full.client();
    first.send(GET);
    expect((await first.response()).status).toBe(200);
    await using second = await full.client();
    expect(await second.closed()).toBe("");
    expect(full.metrics.value("postern_connections_dropped_total")).toBe(1);
    first.send(GET);
    expect((await first.response()).status).toBe(200);
  });
});

describe("a caller that closes its own side", () => {
  test("still gets the answer, and then the end", async () => {
    let finish = (): void => undefined;
    lane.upstream.answer = (_request, socket) => {
      finish = () => socket.write(OK);
    };
    const end = connectHalfOpen(lane);
    end.socket.end(GET);
    await lane.upstream.request(0);
    finish();
    expect(await end.received).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nok$/s);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "permit", status: 200 }]);
  });

  test("gets all the answers that it has asked for, in their order", async () => {
    lane.upstream.answer = (request, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${request.head.charAt(5)}`);
    };
    const end = connectHalfOpen(lane);
    end.socket.end("abc".replace(/./g, "GET /$& HTTP/1.1\r\nHost: a\r\n\r\n"));
    const bodies = [...(await end.received).matchAll(/\r\n\r\n(.)/g)].map(([, body]) => body);
    expect(bodies).toEqual(["a", "b", "c"]);
  });

  test("within a request has taken it back", async () => {
    const end = connectHalfOpen(lane);
    end.socket.end("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    expect(await end.received).toBe("");
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "gone", status: 0 }]);
    expect(lane.upstream.requests).toHaveLength(0);
  });
});

describe("the end of an answer", () => {
  const CHUNKS = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

  test("is that of the connection for HTTP/1.0, which knows no chunks", async () => {
    lane.upstream.answer = CHUNKS;
    await using client = await lane.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    const received = await client.closed();
    expect(received).toMatch(/\r\n\r\nok$/);
    expect(received).toMatch(/\r\nConnection: close\r\n/);
    expect(received).not.toMatch(/transfer-encoding/i);
  });

  test("is a reset where that end would look like a whole one", async () => {
    lane.upstream.answer = (_request, socket) => {
      socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    };
    const end = connectHalfOpen(lane);
    end.socket.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    await expect(end.received).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  test("may come before that of the request, and ends the connection", async () => {
    lane.upstream.answer = OK;
    await using client = await lane.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    expect((await client.response()).header("connection")).toBe("close");
    expect(await client.closed()).toBe("");
  });

  test("keeps HTTP/1.0 connected where it asks for that and a length is known", async () => {
    await using client = await lane.client();
    for (let i = 0; i < 2; i++) {
      client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
      expect((await client.response()).header("connection")).toBe("keep-alive");
    }
  });
});

describe("deadlines", () => {
  test("end a connection on which nothing more is asked, without a word", async () => {
    await using short = await openLane({ limits: { headersMs: 200, keepAliveMs: 200 } });
    await using client = await short.client();
    client.send(GET);
    expect((await client.response()).status).toBe(200);
    expect(await client.closed()).toBe("");
    expect(short.records).toMatchObject([{ outcome: "permit" }]);
  });

  test("count from a request's first byte, not from the last answer", async () => {
    await using short = await openLane({ limits: { headersMs: 200, keepAliveMs: 60_000 } });
    await using client = await short.client();
    client.send(GET);
    await client.response();
    client.send("GET / HTTP/1.1\r\n");
    expect((await client.response()).status).toBe(408);
    expect(await client.closed()).toBe("");
    expect(short.records).toMatchObject([{ outcome: "permit" }, { code: "request.timeout" }]);
  });

  test("end a caller that takes nothing of its answer", async () => {
    await using short = await openLane({ limits: { headersMs: 200, idleMs: 300 } });
    short.upstream.answer = (_request, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * 1024 * 1024}\r\n\r\n`);
      socket.write(Buffer.alloc(64 * 1024 * 1024));
    };
    await using client = await short.client();
    client.socket.pause();
    client.send(GET);
    await waitFor("the record", () => short.records.length === 1);
    expect(short.records).toMatchObject([{ outcome: "gone", status: 200 }]);
    await waitFor("the connection to be gone", () => short.path.connections === 0);
  });
});

interface HalfOpen {
  readonly socket: Socket;
  /** All that came until the other side closed; rejects with a reset. */
  readonly received: Promise<string>;
}

function connectHalfOpen({ path }: Lane): HalfOpen {
  const { address } = path;
  if (address === undefined) throw new TypeError("Cannot connect: the lane does not listen");
  const socket = connect({ ...address, allowHalfOpen: true });
  return { socket, received: text(socket) };
}
