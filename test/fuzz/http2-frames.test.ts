/**
 * Frames in any order and state against the real HTTP/2 server: the process stays up, nothing is left behind,
 * and whatever has reached the application is one whole HTTP/1.1 request in normal form that was declared.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { readTarget } from "../../sidecar/normal-form/path.ts";
import { authentication, bundle, layer, operations, provider, rule } from "../support/bundles.ts";
import { FLAG, FRAME, SETTING, block, frame, request, settings } from "../support/h2-frames.ts";
import type { H2Lane } from "../support/h2-lane.ts";
import { openH2Lane } from "../support/h2-lane.ts";
import { waitFor } from "../support/wait.ts";
import { runs } from "./runs.ts";

const POLICY = bundle({
  layers: [
    layer({
      authentication: authentication({
        anonymous: "Allow",
        providers: [provider({ claimsToHeaders: [{ claim: "sub", header: "x-user" }] })],
      }),
      operations: operations([rule("GET HEAD POST PUT", "/ping")]),
    }),
  ],
});

let lane: H2Lane;

beforeAll(async () => {
  lane = await openH2Lane({ bundle: POLICY });
});

afterAll(async () => {
  await lane[Symbol.asyncDispose]();
});

beforeEach(() => {
  lane.upstream.forget();
});

const name = fc.constantFrom(
  ":path",
  ":method",
  ":authority",
  ":scheme",
  ":status",
  ":protocol",
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "te",
  "cookie",
  "expect",
  "x-user",
  "x_user",
  "X-User",
  "x: y",
  "",
);
const value = fc.oneof(
  fc.constantFrom(
    "/ping",
    "ping",
    "//ping",
    "/ping HTTP/1.1\r\nX: y",
    "GET",
    "POST",
    "HEAD",
    "CONNECT",
    "http",
    "https",
    "a",
    "a\r\nx-user: root",
    "a\0",
    "0",
    "3",
    "5",
    "trailers",
    "chunked",
    "100-continue",
    "",
  ),
  fc.string({ maxLength: 8 }),
);
const field = fc.tuple(name, value);
const bytes = fc.uint8Array({ maxLength: 40 });
const which = fc.nat({ max: 3 });
const method = fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE");

/** Given the streams that were opened so far, the last of them in front, the next frames. */
type Step = (streams: number[]) => Buffer;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(method, fc.array(field, { maxLength: 2 }), fc.boolean(), fc.boolean())
      .map(([how, more, end, isSplit]): Step => (streams) => {
        streams.unshift((streams[0] ?? -1) + 2);
        const fields = block(request("/ping", more, { method: how }));
        const flags = end ? FLAG.endStream : 0;
        const id = streams[0] ?? 1;
        if (!isSplit) return frame(FRAME.headers, flags | FLAG.endHeaders, id, fields);
        return Buffer.concat([
          frame(FRAME.headers, flags, id, fields.subarray(0, 9)),
          frame(FRAME.continuation, FLAG.endHeaders, id, fields.subarray(9)),
        ]);
      }),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(which, bytes, fc.boolean()).map(
      ([nth, payload, end]): Step =>
        (streams) =>
          on(streams, nth, (id) => frame(FRAME.data, end ? FLAG.endStream : 0, id, payload)),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(which, fc.array(field, { maxLength: 2 }), fc.constantFrom(4, 5)).map(
      ([nth, trailers, flags]): Step =>
        (streams) =>
          on(streams, nth, (id) => frame(FRAME.headers, flags, id, block(trailers))),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(which, fc.integer({ min: 0, max: 13 })).map(
      ([nth, code]): Step =>
        (streams) =>
          on(streams, nth, (id) => frame(FRAME.rst, 0, id, Buffer.from([0, 0, 0, code]))),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<readonly [number, number]>([4, 0], [4, 1], [4, 65_535], [3, 0], [5, 16_384])
      .map(
        (pair): Step =>
          () =>
            settings(pair),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat({ max: 12 }), fc.nat({ max: 255 }), fc.nat({ max: 9 }), bytes).map(
      ([type, flags, id, payload]): Step =>
        () =>
          frame(type, flags, id, payload),
    ),
  },
);

function on(streams: readonly number[], nth: number, make: (id: number) => Buffer): Buffer {
  const id = streams[nth % Math.max(1, streams.length)];
  return id === undefined ? Buffer.alloc(0) : make(id);
}

const MARKS = [Buffer.from("all read"), Buffer.from("one turn")];
/** For what was asked to be answered; bodies without an end never are. */
const LITTLE = { withinMs: 15, everyMs: 1 };

describe("any frames at all", () => {
  test("leave nothing behind, and the application gets nothing but whole, declared requests", async () => {
    let forwarded = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 12 }),
        bytes,
        async (steps, rest) => {
          const streams: number[] = [];
          const frames = steps.map((next) => next(streams));
          lane.upstream.forget();
          {
            await using client = await lane.frames();
            client.send(settings([SETTING.tableSize, 0]), ...frames);
            // Twice: with the first echo all was read, with the second the server has had a turn for it.
            for (const mark of MARKS) {
              client.send(frame(FRAME.ping, 0, 0, mark));
              await client
                .until("the echo", ({ payload }) => payload.equals(mark))
                .catch(() => undefined);
            }
            await waitFor("answers", () => lane.server.inFlight === 0, LITTLE).catch(
              () => undefined,
            );
            client.send(rest);
            client.socket.end();
            await client.closed();
          }
          await waitFor("the connection to be gone", () => lane.server.connections === 0, {
            everyMs: 1,
          });
          await waitFor("its requests to end", () => lane.server.inFlight === 0, { everyMs: 1 });
          expect(lane.errors).toEqual([]);
          for (const { head } of lane.upstream.requests) requireNormal(head);
          forwarded += lane.upstream.requests.length;
        },
      ),
      runs(150),
    );
    // Not everything is refused, or this would prove nothing.
    expect(forwarded).toBeGreaterThan(10);
    await using honest = await lane.frames();
    honest.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, block(request("/ping"))));
    expect(await honest.answer(1)).toMatchObject({ status: 200, body: "ok" });
  }, 120_000);
});

function requireNormal(head: string): void {
  const [line = "", ...lines] = head.slice(0, -4).split("\r\n");
  const [, method, target = ""] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(line) ?? [];
  expect({ method, path: readTarget(target) }).toMatchObject({
    method: expect.stringMatching(/^(GET|HEAD|POST|PUT)$/),
    path: { path: "/ping" },
  });
  const names = lines.map((text) => /^([^\s:]+): /.exec(`${text} `)?.[1]?.toLowerCase());
  expect(names).not.toContain(undefined);
  expect(names.filter((key) => key === "host")).toHaveLength(1);
  expect(names).not.toContain("x-user");
  expect(names).not.toContain("x_user");
  const framings = names.filter((key) => key === "content-length" || key === "transfer-encoding");
  expect(framings.length).toBeLessThanOrEqual(1);
}
