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
