/** A request's whole life where something goes wrong on the way: the caller leaves, or a check breaks. */
import { createSecretKey } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { authentication, bundle, layer, provider } from "../test/support/bundles.ts";
import type { Lane } from "../test/support/lane.ts";
import { codeOf, openLane } from "../test/support/lane.ts";
import type { RawClient } from "../test/support/raw-client.ts";
import { claims, ecKey, slowKey, token } from "../test/support/tokens.ts";
import { waitFor } from "../test/support/wait.ts";
import type { PreparedKey } from "./authentication/provider.ts";
import { verifyingKey } from "./authentication/signature.ts";
import type { Prepared } from "./prepared.ts";
import { prepare } from "./prepared.ts";

const key = ecKey("k1");
const ASKING = bundle({
  layers: [
    layer({
      authentication: authentication({
        providers: [provider({ keys: { kind: "known", jwks: [key.jwk] } })],
      }),
    }),
  ],
});
const GET = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const withToken = (by = key): string =>
  `GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token(by, claims(Date.now()))}\r\n\r\n`;

let lane: Lane;
let client: RawClient;

beforeEach(async () => {
  lane = await openLane({ bundle: ASKING });
  client = await lane.client();
});

afterEach(async () => {
  client.close();
  await lane[Symbol.asyncDispose]();
});

const gone = (): number => lane.metrics.value("postern_requests_total", "gone", "none");

describe("a caller that leaves", () => {
  test("while the decision is made is counted, and the application hears nothing", async () => {
    // Every layer's signature check goes to another thread and back: the reset is seen before the last one.
    const slow = slowKey("k1");
    const provided = provider({
      algorithms: ["ES512"],
      keys: { kind: "known", jwks: [slow.jwk] },
    });
    const asking = layer({ authentication: authentication({ providers: [provided] }) });
    const patient = await prepare(bundle({ layers: Array.from({ length: 20 }, () => asking) }));
    lane.current = () => {
      client.socket.resetAndDestroy();
      return patient;
    };
    client.send(withToken(slow));
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "gone", status: 0, subject: "alice" }]);
    expect(gone()).toBe(1);
    expect(lane.upstream.bytes).toBe("");
  });

  test.each([
    ["before the answer begins", ""],
    ["in the middle of the answer", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
  ])("while the application works, %s, lets the application go", async (_title, bytes) => {
    const let_go = Promise.withResolvers<void>();
    lane.upstream.answer = (_request, socket) => {
      socket.once("close", () => let_go.resolve());
      socket.write(bytes);
    };
    client.send(withToken());
    await lane.upstream.request(0);
    if (bytes !== "") await client.until("half");
    client.close();
    await let_go.promise;
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "gone", status: bytes === "" ? 0 : 200 }]);
    expect(gone()).toBe(1);
  });

  test("while it sends its body takes the application's request back", async () => {
    const head = withToken()
      .replace("GET", "POST")
      .replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n");
    client.send(`${head}half`);
    await waitFor("the body", () => lane.upstream.bytes.endsWith("half"));
    client.close();
    await waitFor("the connection to end", () => lane.upstream.connections === 0);
    await waitFor("the record", () => lane.records.length === 1);
    expect(lane.records).toMatchObject([{ outcome: "gone", status: 0 }]);
    expect(lane.upstream.requests).toHaveLength(0);
  });

  test("without a word is nobody", async () => {
    client.close();
    await waitFor("the connection to be gone", () => lane.path.connections === 0);
    expect(lane.records).toEqual([]);
  });
});

describe("a check that fails", () => {
  test("is a 500 with its code, an error in the log, and the end of nothing else", async () => {
    const sound = lane.current();
    const broken = withBrokenKey(sound);
    lane.current = () => broken;
    client.send(withToken());
    const response = await client.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 500,
      code: "check.failed",
    });
    expect(response.body).not.toMatch(/key|usage|operation/i);
    expect(lane.upstream.bytes).toBe("");
    expect(lane.errors).toEqual([
      {
        message: "check.failed",
        fields: {
          requestId: lane.records[0]?.requestId,
          detail: expect.stringContaining('The check "authentication" failed'),
        },
      },
    ]);
    expect(lane.records).toMatchObject([
      { outcome: "deny", status: 500, code: "check.failed", check: "authentication" },
    ]);
    lane.current = () => sound;
    client.send(withToken());
    expect((await client.response()).status).toBe(200);
  });

  test("even in the middle of preparing an answer leaves no caller without an end", async () => {
    // What stands here is no policy at all: the pipeline cannot even begin.
    const sound = lane.current();
    lane.current = () => ({ ...sound, layers: undefined as unknown as Prepared["layers"] });
    client.send(GET);
    const response = await client.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 500,
      code: "check.failed",
    });
    expect(response.header("connection")).toBe("close");
    expect(await client.closed()).toBe("");
    expect(lane.records).toMatchObject([{ outcome: "failed", status: 500, code: "check.failed" }]);
    expect(lane.errors).toHaveLength(1);
    lane.current = () => sound;
    await using other = await lane.client();
    other.send(withToken());
    expect((await other.response()).status).toBe(200);
  });
});

describe("an answer of ours", () => {
  test("to HEAD has the length of its body and not the body", async () => {
    client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    const response = await client.response({ isHead: true });
    expect(response.status).toBe(401);
    expect(Number(response.header("content-length"))).toBeGreaterThan(100);
    client.send(GET);
    const next = await client.response();
    expect(next.head).toMatch(/^HTTP\/1\.1 401 /);
    expect(codeOf(next)).toBe("authn.missing");
  });

  test("leaves the connection open where nothing is in doubt, and ends it behind an unread body", async () => {
    client.send(GET);
    expect((await client.response()).header("connection")).not.toBe("close");
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    expect((await client.response()).header("connection")).toBe("close");
    expect(await client.closed()).toBe("");
  });
});

/** The real policy with a key that cannot verify anything: a fault of ours, not of the token. */
function withBrokenKey(prepared: Prepared): Prepared {
  const useless = verifyingKey("ES256", createSecretKey(Buffer.alloc(32)));
  return replaceKey(prepared, { kid: "k1", byAlgorithm: new Map([["ES256", useless]]) });
}

function replaceKey(prepared: Prepared, key: PreparedKey): Prepared {
  return {
    ...prepared,
    layers: prepared.layers.map((layer) => {
      const { authentication } = layer;
      if (authentication === undefined) return layer;
      const providersByIssuer = new Map(
        [...authentication.providersByIssuer].map(([issuer, providers]) => [
          issuer,
          providers.map((one) => ({ ...one, keys: { kind: "known", keys: [key] } as const })),
        ]),
      );
      return { ...layer, authentication: { ...authentication, providersByIssuer } };
    }),
  };
}
