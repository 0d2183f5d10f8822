/** Which requests are sent twice, what is sent when nobody waits any more, and what a long body is not. */
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Lane } from "../test/support/lane.ts";
import { codeOf, openLane } from "../test/support/lane.ts";
import type { RawClient } from "../test/support/raw-client.ts";
import { OK, answeringAtOnce } from "../test/support/upstream.ts";
import { waitFor } from "../test/support/wait.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

let lane: Lane;
let client: RawClient;

beforeEach(async () => {
  lane = await openLane({ limits: { responseHeadMs: 300, connectMs: 300 } });
  client = await lane.client();
});

afterEach(async () => {
  client.close();
  await lane[Symbol.asyncDispose]();
});

/** Leaves one idle connection in the pool, on which the next request gets `bytes` and a reset. */
async function poolConnectionThatDies(bytes: string, how: "reset" | "end"): Promise<void> {
  lane.upstream.answer = OK;
  client.send(GET);
  await client.response();
  lane.upstream.forget();
  let died = false;
  lane.upstream.answer = (_request, socket) => {
    if (died) {
      socket.write(OK);
      return;
    }
    died = true;
    if (how === "end") socket.end(bytes);
    else if (bytes === "") socket.resetAndDestroy();
    else socket.write(bytes, () => socket.resetAndDestroy());
  };
}

describe("a request on a connection that had died", () => {
  test.each(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])("is sent again: %s", async (method) => {
    await poolConnectionThatDies("", "reset");
    client.send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect((await client.response({ isHead: method === "HEAD" })).status).toBe(200);
    expect(lane.upstream.requests).toHaveLength(2);
    expect(lane.upstream.requests[1]?.head.split("\r\n")[0]).toBe(`${method} / HTTP/1.1`);
  });

  test("is sent again when the connection was closed in an orderly way", async () => {
    await poolConnectionThatDies("", "end");
    client.send(GET);
    expect((await client.response()).status).toBe(200);
    expect(lane.upstream.requests).toHaveLength(2);
  });

  test.each([
    ["that changes something", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["that changes a part", "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["of a method that we do not know", "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["with a body", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"],
    [
      "with a body in chunks",
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ],
    ["that says it has an empty body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
  ])("is not sent again: one %s", async (_title, request) => {
    await poolConnectionThatDies("", "reset");
    client.send(request);
    const response = await client.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 502,
      code: "upstream.reset",
    });
    expect(lane.upstream.requests).toHaveLength(1);
  });

  test.each([
    ["an interim answer", "HTTP/1.1 103 Early Hints\r\n\r\n", "end"],
    ["a part of a head", "HTTP/1.1 200 OK\r\nX:", "end"],
    ["one byte", "H", "end"],
    ["what is no answer", "SSH-2.0-x\r\n\r\n", "end"],
    ["a switch of protocols", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "end"],
  ] as const)("is not sent again after %s", async (_title, bytes, how) => {
    await poolConnectionThatDies(bytes, how);
    client.send(GET);
    const response = await client.response();
    expect(response.status).toBe(502);
    expect(codeOf(response)).toMatch(/^upstream\.(reset|malformed)$/);
    expect(lane.upstream.requests).toHaveLength(1);
  });

  test("is sent again once, and not on", async () => {
    lane.upstream.answer = OK;
    client.send(GET);
    await client.response();
    lane.upstream.forget();
    lane.upstream.answer = (_request, socket) => socket.resetAndDestroy();
    client.send(GET);
    expect(codeOf(await client.response())).toBe("upstream.reset");
    expect(lane.upstream.requests).toHaveLength(2);
  });

  test("is not sent again when a new connection dies", async () => {
    lane.upstream.answer = (_request, socket) => socket.resetAndDestroy();
    client.send(GET);
    expect(codeOf(await client.response())).toBe("upstream.reset");
    expect(lane.upstream.requests).toHaveLength(1);
  });

  test("is not sent again after a deadline", async () => {
    lane.upstream.answer = OK;
    client.send(GET);
    await client.response();
    lane.upstream.forget();
    lane.upstream.answer = () => undefined;
    client.send(GET);
    expect(codeOf(await client.response())).toBe("upstream.timeout");
    expect(lane.upstream.requests).toHaveLength(1);
  });
});

describe("the deadline for an answer", () => {
  test("does not count the time that a body takes to come", async () => {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    const startMs = performance.now();
    for (let sent = 0; sent < 10; sent++) {
      client.send("x");
      await waitFor("the byte", () => lane.upstream.bytes.endsWith("x".repeat(sent + 1)));
      // Slower than the deadline for an answer, all in all.
      await waitFor("the time to pass", () => performance.now() - startMs > (sent + 1) * 80);
    }
    expect((await client.response()).status).toBe(200);
    expect(performance.now() - startMs).toBeGreaterThan(600);
  });

  test("ends a body that does not move, and says that it is the caller's", async () => {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    const response = await client.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 408,
      code: "request.timeout",
    });
    expect(lane.upstream.requests).toHaveLength(0);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "failed", code: "request.timeout" }]);
    await waitFor("the connection to end", () => lane.upstream.connections === 0);
  });

  test("is the application's where it does not take the body", async () => {
    const sockets: Socket[] = [];
    const deaf = createServer({ pauseOnConnect: true }, (socket) => sockets.push(socket));
    deaf.listen(0, "127.0.0.1");
    await once(deaf, "listening");
    const { port } = deaf.address() as AddressInfo;
    await using slow = await openLane({
      to: { host: "127.0.0.1", port },
      limits: { responseHeadMs: 300 },
    });
    await using caller = await slow.client();
    const length = 32 * 1024 * 1024;
    caller.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
    caller.send("x".repeat(length));
    await waitFor("the record", () => slow.records.length === 1);
    expect(slow.records).toMatchObject([{ outcome: "failed", code: "upstream.timeout" }]);
    for (const socket of sockets) socket.destroy();
    deaf.close();
  });
});

describe("the deadline within an answer", () => {
  const HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";

  test("cuts an answer that does not go on", async () => {
    await using slow = await openLane({ limits: { responseIdleMs: 300 } });
    slow.upstream.answer = `${HEAD}half`;
    await using caller = await slow.client();
    caller.send(GET);
    expect(await caller.closed()).toMatch(/half$/);
    await waitFor("the record", () => slow.records.length === 1);
    expect(slow.records).toMatchObject([{ outcome: "cut", code: "upstream.timeout" }]);
    await waitFor("the connection to end", () => slow.upstream.connections === 0);
  });

  test("does not count while the answer moves", async () => {
    await using slow = await openLane({ limits: { responseIdleMs: 300 } });
    let answering: Socket | undefined;
    slow.upstream.answer = (_request, socket) => {
      answering = socket;
      socket.write(HEAD);
    };
    await using caller = await slow.client();
    caller.send(GET);
    const startMs = performance.now();
    for (let sent = 0; sent < 9; sent++) {
      await waitFor("the time to pass", () => performance.now() - startMs > (sent + 1) * 90);
      answering?.write("x");
    }
    expect((await caller.response()).body).toBe("x".repeat(9));
    expect(performance.now() - startMs).toBeGreaterThan(700);
  });

  test("is the caller's where its body does not go on", async () => {
    await using eager = await answeringAtOnce(`${HEAD}half`);
    await using early = await openLane({ to: eager, limits: { responseIdleMs: 300 } });
    await using caller = await early.client();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    expect(await caller.closed()).toMatch(/half$/);
    await waitFor("the record", () => early.records.length === 1);
    expect(early.records).toMatchObject([{ outcome: "cut", code: "request.timeout" }]);
  });
});
