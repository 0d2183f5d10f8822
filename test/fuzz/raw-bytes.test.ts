/**
 * Broken requests as bytes against the real listener: the process stays up, every answer is a whole HTTP
 * response, and whatever has reached the application is in normal form and was declared.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { spelling } from "../../sidecar/normal-form/headers.ts";
import { readTarget } from "../../sidecar/normal-form/path.ts";
import { authentication, bundle, layer, operations, provider, rule } from "../support/bundles.ts";
import type { Lane } from "../support/lane.ts";
import { openLane } from "../support/lane.ts";
import type { RawClient } from "../support/raw-client.ts";
import { waitFor } from "../support/wait.ts";
import { runs } from "./runs.ts";
import type { Mutation } from "./mutations.ts";
import { anywhere } from "./mutations.ts";

const POLICY = bundle({
  layers: [
    layer({
      authentication: authentication({
        anonymous: "Allow",
        providers: [provider({ claimsToHeaders: [{ claim: "sub", header: "x-user" }] })],
      }),
      operations: operations([rule("GET POST PUT", "/ping"), rule("GET POST", "/public/{name}")]),
    }),
  ],
});

/** With it a connection is HTTP/2 (RFC 9113 §3.4), and begins with a SETTINGS frame from us. */
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// oxlint-disable-next-line no-control-regex -- these are the bytes of a frame's head
const H2_SETTINGS = /^\0\0[^]\x04\0\0\0\0\0/;

const SEEDS = [
  "GET /ping HTTP/1.1\r\nHost: api.example\r\n\r\n",
  "GET /public/a%20b?x=1&y=%2F HTTP/1.1\r\nHost: api.example:80\r\nAccept: */*\r\nX-User: root\r\n\r\n",
  "POST /ping HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n\r\nhello",
  "POST /public/b HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "PUT /ping HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
  "GET /ping HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nAuthorization: Bearer x.y.z\r\nConnection: close\r\n\r\n",
  "GET /ping HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
  "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
];
/** What parsers stumble over. */
const PIECES = [
  "\r\n",
  "\n",
  "\r",
  "\u0000",
  " ",
  "\t",
  ":",
  "/",
  "//",
  "..",
  "/../",
  "%2f",
  "%2e%2e",
  "%00",
  ";",
  "#",
  "?",
  "\\",
  "\u00ff",
  "Content-Length: 0\r\n",
  "Content-Length: 7\r\n",
  "content_length: 3\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Transfer-Encoding : chunked\r\n",
  "Host: evil\r\n",
  "X_User: root\r\n",
  "Connection: authorization\r\n",
  "Upgrade: h2c\r\n",
  "Upgrade: websocket\r\nConnection: upgrade\r\n",
  "Expect: x\r\n",
  "Trailer: host\r\n",
  " folded\r\n",
  "0\r\n\r\n",
  "5;a=b\r\n",
  "ffffffffffffffff\r\n",
  "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
  "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
  PREFACE,
  "HTTP/1.1 200 OK\r\n\r\n",
  "HTTP/0.9",
  "HTTP/1.1",
];

const spot = fc.nat({ max: 400 });
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  ...anywhere(spot, PIECES),
  // At the border of a line, where a header line is a header line.
  fc.tuple(spot, fc.constantFrom(...PIECES)).map(([nth, piece]): Mutation => (text) => {
    const lines = text.split("\r\n");
    lines.splice((nth % lines.length) + 1, 0, piece.replace(/\r\n$/, ""));
    return lines.join("\r\n");
  }),
  fc.tuple(spot, spot).map(([from, to]): Mutation => (text) => {
    const lines = text.split("\r\n");
    lines.splice(to % lines.length, 0, lines[from % lines.length] ?? "");
    return lines.join("\r\n");
  }),
  fc.constantFrom(...SEEDS).map(
    (seed): Mutation =>
      (text) =>
        text + seed,
  ),
);
const request = fc
  .tuple(fc.constantFrom(...SEEDS), fc.array(mutation, { minLength: 1, maxLength: 4 }))
  .map(([seed, mutations]) => mutations.reduce((text, mutate) => mutate(text), seed))
  // The answer to HEAD cannot be told from a truncated one without knowing the question.
  .filter((text) => !text.includes("HEAD"));

let lane: Lane;

beforeAll(async () => {
  lane = await openLane({ bundle: POLICY, limits: { headersMs: 2_000 } });
});

afterAll(async () => {
  await lane[Symbol.asyncDispose]();
});

describe("the listener", () => {
  test("answers broken requests with whole answers, and forwards only what is in normal form", async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 20, maxLength: 20 }), async (texts) => {
        lane.upstream.forget();
        const clients = await Promise.all(texts.map(() => lane.client()));
        for (const [index, client] of clients.entries()) client.send(texts[index] ?? "");
        await settle();
        // Who still waits for the rest of a request is told that there is none.
        for (const { socket } of clients) socket.end();
        const answers = await Promise.all(clients.map((client) => client.closed()));
        for (const [index, received] of answers.entries()) {
          for (const status of statusesOf(received, texts[index] ?? "")) {
            seen.set(status, (seen.get(status) ?? 0) + 1);
          }
        }
        for (const { head } of lane.upstream.requests) expectNormal(head);
      }),
      { ...runs(40), endOnFailure: true },
    );
    expect(lane.errors).toEqual([]);
    // Neither all refused nor all let through.
    expect([...seen.keys()]).toEqual(expect.arrayContaining(["200", "400", "403"]));
    await waitFor("the connections to be gone", () => lane.path.connections === 0);
  });
});

/** A few honest requests, one after the other: what came before them has been read by then. */
async function settle(): Promise<void> {
  await using client: RawClient = await lane.client();
  for (let i = 0; i < 3; i++) {
    client.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.response()).status).toBe(200);
  }
}

/** Takes a connection's bytes apart, strictly; fails on what is no sequence of whole answers. */
function statusesOf(received: string, sent: string): string[] {
  const statuses: string[] = [];
  if (sent.startsWith(PREFACE)) {
    // Decided once, by the first bytes: whatever follows, no answer of HTTP/1.1 comes on this connection.
    expect(received === "" || H2_SETTINGS.test(received)).toBe(true);
    expect(received).not.toContain("HTTP/1.1 ");
    return [];
  }
  let rest = received;
  while (rest !== "") {
    const wrong = (what: string): Error =>
      new Error(`${what}: ${JSON.stringify(rest)}, asked with ${JSON.stringify(sent)}`);
    const head =
      /^HTTP\/1\.1 ([1-5][0-9]{2}) [^\r\n]+\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[^\r\n]*\r\n)*)\r\n/.exec(
        rest,
      );
    if (head === null) throw wrong("Not the head of an answer");
    const [whole, status = "", fields = ""] = head;
    statuses.push(status);
    const lengths = [...fields.matchAll(/^content-length: *([0-9]+)\r$/gim)];
    if (status.startsWith("1")) {
      rest = rest.slice(whole.length);
      continue;
    }
    if (lengths.length !== 1) throw wrong("Not one length");
    const end = whole.length + Number(lengths[0]?.[1]);
    if (rest.length < end) throw wrong("A part of an answer");
    rest = rest.slice(end);
  }
  return statuses;
}

function expectNormal(head: string): void {
  const [line = "", ...fields] = head.slice(0, -4).split("\r\n");
  const parts = /^(GET|POST|PUT) (\/[\u0021-\u007e]*) HTTP\/1\.1$/.exec(line);
  if (parts === null) throw new Error(`Not a request line of ours: ${JSON.stringify(line)}`);
  const target = readTarget(parts[2] ?? "");
  if ("code" in target) throw new Error(target.detail);
  expect(target.path).toMatch(/^\/(?:ping|public\/[^/]+)$/);
  const keys = fields.map((field) => {
    // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
    const name = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?[^\u0000-\u0008\u000a-\u001f\u007f]*$/.exec(
      field,
    )?.[1];
    if (name === undefined) throw new Error(`Not a header line: ${JSON.stringify(field)}`);
    return name.toLowerCase();
  });
  const count = (key: string): number => keys.filter((other) => other === key).length;
  expect(count("host")).toBe(1);
  expect(count("content-length") + count("transfer-encoding")).toBeLessThanOrEqual(1);
  for (const key of ["authorization", "cookie", "content-type", "connection"]) {
    expect(count(key)).toBeLessThanOrEqual(1);
  }
  for (const key of ["upgrade", "expect", "te", "trailer", "keep-alive", "proxy-connection"]) {
    expect(count(key)).toBe(0);
  }
  const spellings = keys.map(spelling);
  expect(spellings).not.toContain("x-user");
  for (const key of ["content-length", "transfer-encoding", "host"]) {
    expect(spellings.filter((other) => other === key)).toHaveLength(count(key));
  }
}
