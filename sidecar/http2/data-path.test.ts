/** HTTP/2 through the whole data path, beside HTTP/1.1 on the same port. */
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { FRAME, frameClient, headers, request } from "../../test/support/h2-frames.ts";
import type { Lane } from "../../test/support/lane.ts";
import { openLane } from "../../test/support/lane.ts";
import { OK } from "../../test/support/upstream.ts";

let lane: Lane;

beforeEach(async () => {
  lane = await openLane();
});

afterEach(async () => {
  await lane[Symbol.asyncDispose]();
});

function addressOf({ path }: Lane): { readonly host: string; readonly port: number } {
  if (path.address === undefined) throw new TypeError("Cannot connect: the lane does not listen");
  return path.address;
}

test("one port serves both protocols, with one record for each request and one count of all", async () => {
  await using old = await lane.client();
  await using multiplexed = await frameClient(addressOf(lane));
  old.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
  multiplexed.send(headers(1, request("/two")), headers(3, request("/three")));
  expect((await old.response()).status).toBe(200);
  expect(await multiplexed.answer(1)).toMatchObject({ status: 200, body: "ok" });
  expect(await multiplexed.answer(3)).toMatchObject({ status: 200, body: "ok" });
  expect(lane.path.connections).toBe(2);
  expect(lane.metrics.render()).toMatch(/^postern_connections 2$/m);
  expect(lane.metrics.value("postern_requests_total", "permit", "none")).toBe(3);
  const paths = lane.records.map(({ path }) => path);
  expect(paths).toHaveLength(3);
  expect(new Set(paths)).toEqual(new Set(["/one", "/two", "/three"]));
});

test("a drain lets the streams under way end, and closes with the last of both protocols", async () => {
  const waiting: (() => void)[] = [];
  lane.upstream.answer = (_request, socket) => {
    waiting.push(() => socket.write(OK));
  };
  await using old = await lane.client();
  await using multiplexed = await frameClient(addressOf(lane));
  multiplexed.send(headers(1, request("/two")));
  await lane.upstream.request(0);
  old.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
  await lane.upstream.request(1);
  const drained = lane.path.drain(new AbortController().signal);
  await multiplexed.until("GOAWAY", ({ type }) => type === FRAME.goaway);
  for (const finish of waiting) finish();
  expect(await multiplexed.answer(1)).toMatchObject({ status: 200, body: "ok" });
  expect((await old.response()).status).toBe(200);
  await drained;
  expect(lane.path.connections).toBe(0);
});
