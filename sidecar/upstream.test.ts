/** What an application may do to its connection, as bytes on a real socket. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { http } from "../runtime/http.ts";
import type { Lane } from "../test/support/lane.ts";
import { codeOf, openLane } from "../test/support/lane.ts";
import type { RawClient } from "../test/support/raw-client.ts";
import { OK } from "../test/support/upstream.ts";
import { waitFor } from "../test/support/wait.ts";
import { createUpstream, isClosedConnection, upstreamDenial, watchBehind } from "./upstream.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

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

/** Counts connections too, since the pool is what these tests are about. */
function onSocket(answer: (socket: Socket, nth: number) => void): () => number {
  const sockets = new Set<Socket>();
  let nth = 0;
  lane.upstream.answer = (_request, socket) => {
    sockets.add(socket);
    nth += 1;
    answer(socket, nth);
  };
  return () => sockets.size;
}

/** Does not wait for whole requests. */
async function answeringAtOnce(
  answer: string,
): Promise<
  AsyncDisposable & { readonly host: string; readonly port: number; readonly connections: number }
> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.write(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const errno = (code: string): Error => Object.assign(new Error("failed"), { code });

describe("upstreamDenial()", () => {
  test.each([
    ["ECONNREFUSED", "upstream.refused"],
    ["EHOSTUNREACH", "upstream.refused"],
    ["ENETUNREACH", "upstream.refused"],
    ["EADDRNOTAVAIL", "upstream.refused"],
    ["ENOTFOUND", "upstream.refused"],
    ["EAI_AGAIN", "upstream.refused"],
    ["ENOENT", "upstream.refused"],
    ["ETIMEDOUT", "upstream.timeout"],
    ["HPE_INVALID_CONSTANT", "upstream.malformed"],
    ["ECONNRESET", "upstream.reset"],
    ["EPIPE", "upstream.reset"],
  ])("reads %s as %s", (code, wanted) => {
    expect(upstreamDenial(errno(code)).code).toBe(wanted);
  });

  test("reads an error without a code as a reset: nothing was answered", () => {
    expect(upstreamDenial(new Error("x")).code).toBe("upstream.reset");
  });
});

describe("isClosedConnection()", () => {
  test.each([
    ["ECONNRESET", true],
    ["EPIPE", true],
    ["ETIMEDOUT", false],
    ["ECONNREFUSED", false],
    ["HPE_INVALID_CONSTANT", false],
    ["HPE_INVALID_EOF_STATE", false],
  ])("of %s is %j", (code, wanted) => {
    expect(isClosedConnection(errno(code))).toBe(wanted);
  });
});

describe("an answer that is not one", () => {
  test.each([
    [
      "two lengths that agree",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ],
    ["a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"],
    ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"],
    [
      "chunks and a length",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ],
    ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status above 599", "HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n"],
    ["a status below 100", "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"],
    ["no version", "200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["version 9", "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a NUL in a header", "HTTP/1.1 200 OK\r\nX: a\u0000b\r\nContent-Length: 0\r\n\r\n"],
    ["a bare CR in a header", "HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n"],
    ["a space in a header name", "HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n"],
    ["a header without colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n"],
    ["a head beyond all measure", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(70_000)}\r\n\r\n`],
    [
      "a coding that nobody asked for",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
    [
      "a coding that hides the chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ],
    ["chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ])("is malformed: %s", async (_title, answer) => {
    lane.upstream.answer = answer;
    client.send(GET);
    const response = await client.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 502,
      code: "upstream.malformed",
    });
    // Its connection is of no use any more.
    lane.upstream.answer = OK;
    client.send(GET);
    expect((await client.response()).body).toBe("ok");
    expect(lane.upstream.requests).toHaveLength(2);
  });

  test("is cut when a chunk goes wrong in the middle", async () => {
    lane.upstream.answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n0\r\n\r\n";
    client.send(GET);
    const left = await client.closed();
    expect(left).not.toMatch(/0\r\n\r\n$/);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records[0]).toMatchObject({ outcome: "cut", code: "upstream.malformed" });
  });

  test("may have more header lines than Node keeps by itself, and none is dropped", async () => {
    const lines = Array.from({ length: 1_500 }, (_, i) => `a:${i % 10}\r\n`).join("");
    lane.upstream.answer = `HTTP/1.1 200 OK\r\n${lines}X-Last: kept\r\nContent-Length: 2\r\n\r\nok`;
    client.send(GET);
    const response = await client.response();
    expect(response.header("x-last")).toBe("kept");
    expect(response.head.match(/\r\na:/g)).toHaveLength(1_500);
  });
});

describe("an answer that breaks off", () => {
  test.each([
    ["reset by length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ["reset in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
    ["reset before an end that only closing tells", "HTTP/1.1 200 OK\r\n\r\nhalf"],
  ])("is a cut and never an end (%s)", async (_title, answer) => {
    let reset = (): void => undefined;
    lane.upstream.answer = (_request, socket) => {
      socket.write(answer);
      reset = () => socket.resetAndDestroy();
    };
    client.send(GET);
    await client.until("half");
    reset();
    expect(await client.closed()).not.toMatch(/0\r\n\r\n$/);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records[0]).toMatchObject({ outcome: "cut", code: "upstream.reset" });
  });

  test("is whole when closing is its end", async () => {
    lane.upstream.answer = (_request, socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nall");
    client.send(GET);
    const response = await client.response();
    expect(response.body).toBe("3\r\nall\r\n0\r\n\r\n");
  });

  test.each([
    ["before any byte", ""],
    ["within its head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"],
  ])("%s is a bad gateway", async (_title, answer) => {
    lane.upstream.answer = (_request, socket) => socket.end(answer);
    client.send(GET);
    const response = await client.response();
    expect(response.status).toBe(502);
    expect(codeOf(response)).toMatch(/^upstream\.(reset|malformed)$/);
    expect(lane.upstream.requests).toHaveLength(1);
  });
});

describe("interim answers", () => {
  test("are not passed on, and the answer behind them is", async () => {
    lane.upstream.answer = `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}`;
    client.send(GET);
    const response = await client.response();
    expect({ status: response.status, body: response.body }).toEqual({ status: 200, body: "ok" });
  });

  test("without end do not put off the deadline", async () => {
    lane.upstream.answer = (_request, socket) => {
      const more = (): void => {
        if (!socket.destroyed)
          socket.write("HTTP/1.1 103 Early Hints\r\n\r\n", () => setImmediate(more));
      };
      more();
    };
    client.send(GET);
    const response = await client.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 504,
      code: "upstream.timeout",
    });
  });
});

describe("bytes that nobody has asked for", () => {
  test.each([
    ["a whole answer", POISON],
    ["a part of one", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n"],
    ["an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"],
    ["no answer at all", "garbage\r\n\r\n"],
  ])("behind an answer, in one piece with it, are given to nobody (%s)", async (_title, rest) => {
    onSocket((socket, nth) => socket.write(nth === 1 ? OK + rest : OK.replace("ok", "no")));
    client.send(GET);
    expect((await client.response()).body).toBe("ok");
    client.send(GET);
    expect((await client.response()).body).toBe("no");
    expect(client.received).toBe("");
  });

  test("behind an answer to HEAD that has a body are given to nobody", async () => {
    const connections = onSocket((socket) => socket.write(OK));
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.response({ isHead: true })).status).toBe(200);
    client.send(GET);
    expect((await client.response()).body).toBe("ok");
    expect(connections()).toBe(2);
  });

  test.each([
    ["a whole answer", POISON],
    ["a line end", "\r\n"],
    ["one byte", "H"],
  ])("on an idle connection end it (%s)", async (_title, bytes) => {
    let unasked = (): void => undefined;
    const connections = onSocket((socket) => {
      socket.write(OK);
      unasked = () => socket.write(bytes);
    });
    client.send(GET);
    await client.response();
    unasked();
    await waitFor("the connection to end", () => lane.upstream.connections === 0);
    client.send(GET);
    expect((await client.response()).body).toBe("ok");
    expect(connections()).toBe(2);
  });

  test("behind an answer that waits to be read end the connection, and not the answer", async () => {
    let unasked = (): void => undefined;
    onSocket((socket) => {
      socket.write(OK);
      unasked = () => socket.write(POISON);
    });
    const { host, port } = lane.upstream;
    const pool = createUpstream({ host, port });
    const request = http.request({ host, port, agent: pool.agent, path: "/" });
    request.once("response", watchBehind);
    const answered = once(request, "response") as Promise<[IncomingMessage]>;
    request.end();
    const [answer] = await answered;
    await waitFor("the answer to be whole", () => answer.complete);
    unasked();
    await once(answer.socket, "close");
    expect(await text(answer)).toBe("ok");
    expect(pool.agent.freeSockets).toEqual({});
    pool.close();
  });
});

describe("a connection", () => {
  test("is used again after a clean exchange, and no more after `Connection: close`", async () => {
    const connections = onSocket((socket, nth) =>
      socket.write(nth === 2 ? OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") : OK),
    );
    for (const wanted of [1, 1, 2]) {
      client.send(GET);
      await client.response();
      expect(connections()).toBe(wanted);
    }
  });

  test("is not used again when its answer came before the whole request", async () => {
    await using eager = await answeringAtOnce(OK);
    await using before = await openLane({ to: eager });
    await using caller = await before.client();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    expect((await caller.response()).body).toBe("ok");
    expect(await caller.closed()).toBe("");
    await waitFor("the connection to end", () => eager.connections === 0);
    expect(before.records).toMatchObject([{ outcome: "permit", status: 200 }]);
  });

  test("that is not accepted in time is a gateway timeout", async () => {
    await using deaf = await neverAccepting();
    await using slow = await openLane({ to: deaf, limits: { connectMs: 200 } });
    await using caller = await slow.client();
    caller.send(GET);
    const response = await caller.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 504,
      code: "upstream.timeout",
    });
  });
});

/** Listens and never accepts, with its queue full: Linux then ignores whoever knocks (listen(2), backlog). */
async function neverAccepting(): Promise<
  AsyncDisposable & { readonly host: string; readonly port: number }
> {
  const worker = new Worker(
    `const { createServer } = require("node:net");
     const { parentPort } = require("node:worker_threads");
     const server = createServer();
     server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     });`,
    { eval: true },
  );
  const [port] = (await once(worker, "message")) as [number];
  const waiting: Socket[] = [];
  // Two fit into the queue; a third one that gets no answer shows that it is full.
  for (let index = 0; index < 3; index += 1) {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => socket.destroy());
    waiting.push(socket);
    if (index < 2) await once(socket, "connect");
  }
  return {
    host: "127.0.0.1",
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of waiting) socket.destroy();
      await worker.terminate();
    },
  };
}
