/**
 * An application that lies: whatever bytes it answers with, and however they are cut, nobody but the one who
 * asked gets any of them, what is passed on is one whole answer or visibly none, and the next request is served.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { Lane } from "../support/lane.ts";
import { openLane } from "../support/lane.ts";
import type { RawClient } from "../support/raw-client.ts";
import { runs } from "./runs.ts";
import type { Mutation } from "./mutations.ts";
import { at, anywhere } from "./mutations.ts";

/** `$` is where the request's own mark stands. */
const SEEDS = [
  "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n$",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n$\r\n0\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n6;a=b\r\n$\r\n0\r\nX: $\r\n\r\n",
  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n$",
  "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n$",
  "HTTP/1.1 103 Early Hints\r\nLink: $\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n$",
  "HTTP/1.1 204 No Content\r\nX: $\r\n\r\n",
  "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\nX: $\r\n\r\n",
];

const PIECES = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  ":",
  "Content-Length: 0\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 6\r\n",
  "Content-Length: -1\r\n",
  "Content-Length: 6, 6\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Connection: keep-alive\r\n",
  "Connection: upgrade\r\nUpgrade: websocket\r\n",
  " folded\r\n",
  "0\r\n\r\n",
  "ffffffffffffffff\r\n",
  "HTTP/1.1 101 Switching Protocols\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n$",
  "HTTP/2.0 200 OK\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

const spot = fc.nat({ max: 200 });
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  ...anywhere(spot, PIECES),
  // Behind the answer: where the next one's answer would stand.
  fc.constantFrom(...SEEDS).map(
    (seed): Mutation =>
      (text) =>
        text + seed,
  ),
);

interface Lie {
  readonly text: string;
  /** Where the bytes are cut. */
  readonly cuts: readonly number[];
  readonly after: "stays" | "ends" | "resets";
  readonly method: "GET" | "HEAD" | "POST";
}

const lie: fc.Arbitrary<Lie> = fc.record({
  text: fc
    .tuple(fc.constantFrom(...SEEDS), fc.array(mutation, { maxLength: 3 }))
    .map(([seed, mutations]) => mutations.reduce((text, mutate): string => mutate(text), seed)),
  cuts: fc.array(spot, { maxLength: 3 }),
  after: fc.constantFrom("stays", "ends", "resets"),
  method: fc.constantFrom("GET", "HEAD", "POST"),
});

let lane: Lane;

beforeAll(async () => {
  lane = await openLane({ limits: { responseHeadMs: 100, responseIdleMs: 100 } });
});

afterAll(async () => {
  await lane[Symbol.asyncDispose]();
});

describe("the application's side", () => {
  test("gives nobody another's bytes, passes on whole answers or cuts, and goes on", async () => {
    const seen = new Map<string, number>();
    let marks = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(lie, { minLength: 12, maxLength: 12 }), async (lies) => {
        const asked = lies.map((lie) => ({
          ...lie,
          mark: `M${String((marks += 1)).padStart(5, "0")}`,
        }));
        lane.upstream.answer = (request, socket) => {
          const mark = /M\d{5}/.exec(request.head)?.[0] ?? "";
          const told = asked.find((one) => one.mark === mark);
          if (told === undefined) throw new Error(`Nobody has asked: "${request.head}"`);
          const text = told.text.replaceAll("$", mark);
          let from = 0;
          const pieces = [...told.cuts.map((cut) => at(text, cut)), text.length].toSorted(
            (a, b) => a - b,
          );
          const next = (): void => {
            const to = pieces.shift();
            if (socket.destroyed) return;
            if (to === undefined) {
              if (told.after === "ends") socket.end();
              if (told.after === "resets") socket.resetAndDestroy();
              return;
            }
            socket.write(text.slice(from, to), "latin1");
            from = to;
            setImmediate(next);
          };
          next();
        };
        await Promise.all(
          asked.map(async ({ mark, method }) => {
            await using client = await lane.client();
            const received = await ask(client, mark, method);
            for (const [found] of received.matchAll(/M\d{5}/g)) expect(found).toBe(mark);
            const status = wholeOrCut(received, method);
            seen.set(status, (seen.get(status) ?? 0) + 1);
          }),
        );
      }),
      { ...runs(25), endOnFailure: true },
    );
    expect(lane.errors).toEqual([]);
    expect([...seen.keys()]).toEqual(expect.arrayContaining(["200", "502", "cut"]));
    lane.upstream.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    await using client = await lane.client();
    expect(await ask(client, "M00000", "GET")).toMatch(/\r\n\r\nok$/);
  });
});

async function ask(client: RawClient, mark: string, method: string): Promise<string> {
  const length = method === "POST" ? "Content-Length: 2\r\n" : "";
  const body = method === "POST" ? "hi" : "";
  client.send(
    `${method} /${mark} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${length}\r\n${body}`,
  );
  return client.closed();
}

/** The status of a whole answer; `cut` when the end of the bytes is visibly not the answer's. */
function wholeOrCut(received: string, method: string): string {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) {
    expect(received).toBe("");
    return "cut";
  }
  const head = received.slice(0, end + 2);
  const body = received.slice(end + 4);
  const status = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n/.exec(head)?.[1];
  expect(status).toMatch(/^[2-5]\d\d$/);
  const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
  const isChunked = /\r\ntransfer-encoding: *chunked\r\n/i.test(head);
  expect(length !== undefined && isChunked).toBe(false);
  if (method === "HEAD" || status === "204" || status === "304") {
    expect(body).toBe("");
    return status ?? "";
  }
  if (length !== undefined) {
    expect(body.length).toBeLessThanOrEqual(Number(length));
    return body.length === Number(length) ? (status ?? "") : "cut";
  }
  expect(isChunked).toBe(true);
  return /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(body) ? (status ?? "") : "cut";
}
