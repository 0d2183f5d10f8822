/** What an application may do to its connection, as bytes on a real socket. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Lane } from "../test/support/lane.ts";
import { codeOf, openLane } from "../test/support/lane.ts";
import type { RawClient } from "../test/support/raw-client.ts";
import { OK, answeringAtOnce } from "../test/support/upstream.ts";
import { waitFor } from "../test/support/wait.ts";
import { isClosedConnection, upstreamFailure } from "./upstream/failure.ts";

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

const errno = (code: string): Error => Object.assign(new Error("failed"), { code });

describe("upstreamFailure()", () => {
  test.each([
    ["ECONNREFUSED", "upstream.refused"],
    ["EHOSTUNREACH", "upstream.refused"],
    ["ENETUNREACH", "upstream.refused"],
    ["EADDRNOTAVAIL", "upstream.refused"],
    ["ENOTFOUND", "upstream.refused"],
    ["EAI_AGAIN", "upstream.refused"],
    ["ENOENT", "upstream.refused"],
    ["ETIMEDOUT", "upstream.timeout"],
    ["ENOTSOCK", "upstream.refused"],
    ["EACCES", "upstream.refused"],
    ["EAGAIN", "upstream.busy"],
    ["EMFILE", "upstream.busy"],
    ["ECONNRESET", "upstream.reset"],
    ["EPIPE", "upstream.reset"],
  ])("reads %s as %s", (code, wanted) => {
    expect(upstreamFailure(errno(code)).code).toBe(wanted);
  });

  test("reads an error without a code as a reset: nothing was answered", () => {
    expect(upstreamFailure(new Error("x")).code).toBe("upstream.reset");
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

  test("without end are no answer, and end their connection", async () => {
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
      status: 502,
      code: "upstream.malformed",
    });
    await waitFor("the connection to end", () => lane.upstream.connections === 0);
  });

  test("do not put off the deadline", async () => {
    lane.upstream.answer = (_request, socket) => {
      const startMs = performance.now();
      let sent = 0;
      const more = (): void => {
        if (socket.destroyed) return;
        if (performance.now() - startMs > sent * 50) {
          sent += 1;
          socket.write("HTTP/1.1 103 Early Hints\r\n\r\n");
        }
        setImmediate(more);
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

describe("an application on a Unix socket", () => {
  test("is served like one on a port, over connections that are kept", async () => {
    await using app = await onUnixSocket(OK);
    await using near = await openLane({ to: { path: app.path } });
    await using caller = await near.client();
    for (const _ of [1, 2]) {
      caller.send(GET);
      expect((await caller.response()).body).toBe("ok");
    }
    expect(app.connections()).toBe(1);
  });

  test("that is not there refuses the connection", async () => {
    await using near = await openLane({ to: { path: join(tmpdir(), "postern-no-such.sock") } });
    await using caller = await near.client();
    caller.send(GET);
    const response = await caller.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 502,
      code: "upstream.refused",
    });
  });
});

describe("more requests than connections", () => {
  test("wait for one, and are refused when none comes free", async () => {
    await using narrow = await openLane({
      limits: { maxUpstreamConnections: 1, maxUpstreamWaiting: 1, upstreamWaitMs: 200 },
    });
    let finish = (): void => undefined;
    narrow.upstream.answer = (_request, socket) => {
      finish = () => socket.write(OK);
    };
    await using first = await narrow.client();
    await using second = await narrow.client();
    await using third = await narrow.client();
    first.send(GET);
    await narrow.upstream.request(0);
    second.send(GET);
    // No order between two connections but that of their answers: one waits in vain, one finds no place.
    third.send(GET);
    for (const caller of [second, third]) {
      const response = await caller.response();
      expect({ status: response.status, code: codeOf(response) }).toEqual({
        status: 503,
        code: "upstream.busy",
      });
      expect(response.header("retry-after")).toBe("1");
    }
    third.send(GET);
    finish();
    expect((await first.response()).body).toBe("ok");
    await narrow.upstream.request(1);
    finish();
    expect((await third.response()).body).toBe("ok");
    expect(narrow.upstream.connections).toBe(1);
  });

  test("that were given up do not take a connection", async () => {
    await using narrow = await openLane({ limits: { maxUpstreamConnections: 1 } });
    let finish = (): void => undefined;
    narrow.upstream.answer = (_request, socket) => {
      finish = () => socket.write(OK);
    };
    await using first = await narrow.client();
    await using second = await narrow.client();
    first.send(GET);
    await narrow.upstream.request(0);
    second.send(GET.replace("/", "/second"));
    await waitFor("both to be served", () =>
      narrow.metrics.render().includes("postern_requests_in_flight 2"),
    );
    second.socket.resetAndDestroy();
    await waitFor("the record", () => narrow.records.length === 1);
    expect(narrow.records).toMatchObject([{ outcome: "gone", path: "/second" }]);
    finish();
    expect((await first.response()).body).toBe("ok");
    expect(narrow.upstream.bytes).not.toMatch(/second/);
  });
});

describe("a long answer", () => {
  test("is not read any faster than the caller takes it", async () => {
    const length = 64 * 1024 * 1024;
    let written = 0;
    lane.upstream.answer = (_request, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      const chunk = Buffer.alloc(64 * 1024, "x");
      const more = (): void => {
        while (written < length && !socket.destroyed) {
          written += chunk.length;
          if (!socket.write(chunk)) {
            socket.once("drain", more);
            return;
          }
        }
      };
      more();
    };
    client.socket.pause();
    client.send(GET);
    let before = -1;
    // What lies in the sockets' own buffers is some megabytes, and does not grow any more.
    await waitFor(
      "the application to be held up",
      () => {
        const isStill = written > 0 && written === before;
        before = written;
        return isStill;
      },
      { everyMs: 300 },
    );
    expect(written).toBeLessThan(length / 2);
    client.socket.resume();
    await waitFor("all of it", () => client.received.length > length, { withinMs: 20_000 });
    expect(client.received).toMatch(/x$/);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "permit", status: 200 }]);
  });
});

async function onUnixSocket(
  answer: string,
): Promise<AsyncDisposable & { readonly path: string; connections(): number }> {
  const folder = await mkdtemp(join(tmpdir(), "postern-"));
  const path = join(folder, "app.sock");
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on("data", () => socket.write(answer));
    socket.on("error", () => socket.destroy());
  });
  server.listen(path);
  await once(server, "listening");
  return {
    path,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}
