/**
 * What is said of bytes must not depend on how the network cuts them: every row of the tables, cut at every one of
 * its bytes, has the same reading; and over real connections, byte after byte, the same answer.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { forbiddenTrailer } from "../../sidecar/http1/body-hints.ts";
import type { ParsedHead } from "../../sidecar/http1/llhttp.ts";
import { HttpParser } from "../../sidecar/http1/llhttp.ts";
import { denialOf } from "../../sidecar/http1/parse-error.ts";
import { readRequest } from "../../sidecar/normal-form/request.ts";
import { prepare } from "../../sidecar/prepared.ts";
import { codeOf, openLane } from "../support/lane.ts";
import type { Lane } from "../support/lane.ts";
import { attackPolicy } from "./policy.ts";
import { attackFamilies, fill } from "./rows.ts";
import { attackTokens } from "./tokens.ts";

const tokens = attackTokens(Date.now());
const { guards } = await prepare(attackPolicy(tokens.jwks));
const rows = attackFamilies()
  .flatMap(({ family, rows: all }) => all.map((row) => ({ ...row, family })))
  .map((row) => ({ ...row, bytes: Buffer.from(fill(row.send, tokens), "latin1") }));

/** Everything that is read of the first message, as one text; what came of a body before an error is not told apart. */
function reading(pieces: readonly Buffer[]): string {
  const told: string[] = [];
  let body = "";
  let isWhole = false;
  const parser: HttpParser = HttpParser.forRequests({
    onHead: (head: ParsedHead) => {
      const { method, target, version, headers } = head;
      const request = readRequest({ method, target, version, headers }, guards);
      told.push("code" in request ? `refused ${request.code}` : JSON.stringify(request));
      if (method === "CONNECT") parser.pause();
    },
    onBody: (bytes) => {
      body += bytes.toString("latin1");
    },
    onTrailers: (fields) => {
      told.push(`trailers ${JSON.stringify(fields)} ${forbiddenTrailer(fields) ?? ""}`);
    },
    onComplete: () => {
      isWhole = true;
      parser.pause();
    },
  });
  for (const piece of pieces) {
    if (parser.isPaused || parser.error !== undefined) break;
    parser.execute(piece);
  }
  const { error } = parser;
  parser.free();
  if (error !== undefined) return [...told, `error ${denialOf(error)}`].join("\n");
  return [...told, body, isWhole ? "whole" : "open"].join("\n");
}

describe("the reading of every row", () => {
  test.each(rows.map(({ title, bytes }) => [title, bytes] as const))(
    "is the same at every cut: %s",
    (_title, bytes) => {
      const whole = reading([bytes]);
      // The large rows are large by repetition: every byte of their ends, and a sample of what lies between.
      const step = (cut: number): number =>
        bytes.length < 1_500 || cut < 300 || cut > bytes.length - 300
          ? 1
          : Math.ceil(bytes.length / 50);
      for (let cut = 1; cut < bytes.length; cut += step(cut)) {
        const cutReading = reading([bytes.subarray(0, cut), bytes.subarray(cut)]);
        if (cutReading !== whole)
          expect({ cut, reading: cutReading }).toEqual({ cut, reading: whole });
      }
      const single = Array.from(bytes, (_byte, at) => bytes.subarray(at, at + 1));
      expect(reading(single)).toBe(whole);
    },
  );
});

describe("over a connection, byte after byte,", () => {
  let lane: Lane;

  beforeAll(async () => {
    const prepared = await prepare(attackPolicy(tokens.jwks));
    lane = await openLane({ limits: { headersMs: 20_000 } });
    lane.current = () => prepared;
  });

  afterAll(async () => {
    await lane[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    lane.upstream.forget();
  });

  // Those that are about the deadline have no end; the large ones would only be slow.
  const dripped = rows.filter(
    ({ bytes, expect: { status }, family, title }) =>
      bytes.length < 250 &&
      status !== 408 &&
      !family.startsWith("transport") &&
      // Byte after byte, its head is refused before the fault of its body is there.
      title !== "a chunk size that overflows",
  );

  test.each(dripped.map((row) => [row.title, row] as const))("answers: %s", async (_title, row) => {
    await using client = await lane.client();
    for (const byte of row.bytes) {
      if (client.received !== "" || client.socket.destroyed) break;
      client.send(String.fromCharCode(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const response = await client.response({ isHead: row.send.startsWith("HEAD ") });
    const code = row.expect.code === undefined ? undefined : codeOf(response);
    expect({ status: response.status, code }).toEqual({
      status: row.expect.status,
      code: row.expect.code,
    });
    const served = row.expect.upstream === "served" ? 1 : 0;
    expect(lane.upstream.requests).toHaveLength(served);
    if (row.expect.upstream === "untouched") expect(lane.upstream.bytes).toBe("");
  });
});
