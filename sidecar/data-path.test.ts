import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { authentication, bundle, layer, provider } from "../test/support/bundles.ts";
import type { RawClient } from "../test/support/raw-client.ts";
import { rawClient } from "../test/support/raw-client.ts";
import { claims, ecKey, token } from "../test/support/tokens.ts";
import type { RecordingUpstream } from "../test/support/upstream.ts";
import { OK, recordingUpstream } from "../test/support/upstream.ts";
import type { DataPath } from "./data-path.ts";
import { createDataPath } from "./data-path.ts";
import type { DecisionRecord } from "./decision-record.ts";
import { createMetrics } from "./metrics.ts";
import { prepare, prepareClosed } from "./prepared.ts";

const OPEN = await prepare(bundle({ layers: [layer()] }));

let upstream: RecordingUpstream;
let path: DataPath;
let client: RawClient;
let records: DecisionRecord[];
let current = OPEN;
let onCurrent = (): void => undefined;
const metrics = createMetrics();

beforeEach(async () => {
  records = [];
  current = OPEN;
  onCurrent = () => undefined;
  upstream = await recordingUpstream();
  path = createDataPath({
    current: () => {
      onCurrent();
      return current;
    },
    upstream,
    log: silentLog,
    clock: systemClock,
    metrics,
    record: (record) => records.push(record),
    limits: { responseHeadMs: 400, connectMs: 400 },
  });
  client = await rawClient(await path.listen({ host: "127.0.0.1", port: 0 }));
});

afterEach(async () => {
  client.close();
  await path.close();
  await upstream.close();
});

describe("forwarding", () => {
  test("sends the very target and headers, less those of the connection", async () => {
    client.send(
      "GET /a%20b?x=%2F..%2f&y HTTP/1.1\r\nHost: Api.Example\r\nX-One: 1\r\nConnection: x-gone\r\nX-Gone: 1\r\nX-Two: caf\xe9\r\n\r\n",
    );
    expect((await client.response()).body).toBe("ok");
    expect(upstream.requests[0]?.head).toBe(
      "GET /a%20b?x=%2F..%2f&y HTTP/1.1\r\nHost: Api.Example\r\nX-One: 1\r\nX-Two: caf\xe9\r\nConnection: keep-alive\r\n\r\n",
    );
  });

  test("streams a body by length and by chunks, and one connection serves many requests", async () => {
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    expect((await client.response()).status).toBe(200);
    client.send(
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    expect((await client.response()).status).toBe(200);
    expect(upstream.requests.map(({ body }) => body)).toEqual(["hello", "3\r\nabc\r\n0\r\n\r\n"]);
  });

  test("a POST without a body arrives as one", async () => {
    client.send("POST /x HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.response();
    expect(upstream.requests[0]?.head).toMatch(/\r\ncontent-length: 0\r\n/);
  });

  test("passes a response on as it comes, with its trailers", async () => {
    let finish = (): void => undefined;
    upstream.answer = (_request, socket) => {
      socket.write(
        "HTTP/1.1 203 Odd\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\nKeep-Alive: timeout=9\r\n\r\n3\r\none\r\n",
      );
      finish = () => socket.write("0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nX-Other: 2\r\n\r\n");
    };
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("one");
    finish();
    const response = await client.response();
    expect(response.head).toMatch(/^HTTP\/1.1 203 Odd\r\n/);
    expect(response.head).not.toMatch(/timeout=9/);
    expect(response.body).toMatch(/0\r\nX-Sum: 1\r\n\r\n$/);
  });

  test("HEAD keeps the length and has no body", async () => {
    upstream.answer = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.response({ isHead: true })).header("content-length")).toBe("99");
    upstream.answer = OK;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.response()).body).toBe("ok");
  });

  test("answers Expect only after the permit, and sends no Expect on", async () => {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    expect((await client.response()).status).toBe(100);
    client.send("hi");
    expect((await client.response()).status).toBe(200);
    expect(upstream.requests[0]?.head).not.toMatch(/expect/i);
    current = prepareClosed("policy.none", "nothing");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    expect((await client.response()).status).toBe(503);
  });
});

describe("an upstream that fails", () => {
  const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

  test("is refused when it does not listen", async () => {
    await upstream.close();
    client.send(GET);
    const response = await client.response();
    expect(response.status).toBe(502);
    expect(JSON.parse(response.body)).toMatchObject({ code: "upstream.refused" });
    expect(response.header("retry-after")).toBe("1");
  });

  test("is reset when it closes before its answer", async () => {
    upstream.answer = (_request, socket) => socket.destroy();
    client.send(GET);
    expect(JSON.parse((await client.response()).body)).toMatchObject({ code: "upstream.reset" });
  });

  test.each([
    ["is not HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
    [
      "switches protocols unasked",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ["has two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    [
      "has a length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
  ])("is malformed when its answer %s", async (_title, answer) => {
    upstream.answer = answer;
    client.send(GET);
    expect(JSON.parse((await client.response()).body)).toMatchObject({
      code: "upstream.malformed",
    });
  });

  test("is timed out when it says nothing", async () => {
    upstream.answer = () => undefined;
    client.send(GET);
    const response = await client.response();
    expect(response.status).toBe(504);
    expect(JSON.parse(response.body)).toMatchObject({ code: "upstream.timeout" });
  });

  test.each([
    ["by length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
  ])("never makes a broken answer look whole (%s)", async (_title, answer) => {
    upstream.answer = (_request, socket) => socket.end(answer);
    client.send(GET);
    const left = await client.closed();
    expect(left).toMatch(/half/);
    expect(left).not.toMatch(/0\r\n\r\n$/);
    expect(records.at(-1)).toMatchObject({ outcome: "cut", code: "upstream.reset" });
  });

  test("gets a second try when an idle connection had died, if the request can be repeated", async () => {
    let calls = 0;
    upstream.answer = (_request, socket) => {
      calls += 1;
      if (calls % 2 === 1) socket.write(OK);
      else socket.resetAndDestroy();
    };
    client.send(GET);
    await client.response();
    client.send(GET);
    expect((await client.response()).status).toBe(200);
    expect(calls).toBe(3);
    // The retry's connection was its own; this request makes one for the pool, and the next meets it dead.
    calls = 0;
    client.send(GET);
    expect((await client.response()).status).toBe(200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(JSON.parse((await client.response()).body)).toMatchObject({ code: "upstream.reset" });
    expect(calls).toBe(2);
  });

  test("cannot answer a request that nobody has sent", async () => {
    let unasked = (): void => undefined;
    const gone = new Promise<void>((resolve) => {
      upstream.answer = (_request, socket) => {
        socket.write(OK);
        unasked = () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        socket.once("close", () => resolve());
      };
    });
    client.send(GET);
    await client.response();
    unasked();
    await gone;
    upstream.answer = OK;
    client.send(GET);
    expect((await client.response()).body).toBe("ok");
  });

  test("is let go when the caller goes", async () => {
    const gone = new Promise<void>((resolve) => {
      upstream.answer = (_request, socket) => {
        socket.once("close", () => resolve());
        client.socket.resetAndDestroy();
      };
    });
    client.send(GET);
    await gone;
    expect(metrics.value("postern_requests_total", "gone", "none")).toBeGreaterThan(0);
  });
});

describe("a swap of policy", () => {
  test("leaves a request in flight with the policy that it began with", async () => {
    const key = ecKey("k1");
    const keys = { kind: "known", jwks: [key.jwk] } as const;
    const asking = await prepare(
      bundle({
        layers: [layer({ authentication: authentication({ providers: [provider({ keys })] }) })],
      }),
    );
    current = asking;
    // The signature check is asynchronous: the swap falls between the read of the policy and the decision.
    client.send(
      `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token(key, claims(Date.now()))}\r\n\r\n`,
    );
    let reads = 0;
    const swapped = new Promise<void>((resolve) => {
      onCurrent = () => {
        reads += 1;
        queueMicrotask(() => {
          current = prepareClosed("policy.none", "swapped");
          resolve();
        });
      };
    });
    await swapped;
    expect((await client.response()).status).toBe(200);
    expect(reads).toBe(1);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(JSON.parse((await client.response()).body)).toMatchObject({ code: "policy.none" });
  });

  test("is not noticed by a body that is still streaming", async () => {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    await poll(() => upstream.bytes.endsWith("abc"));
    current = prepareClosed("policy.none", "swapped");
    client.send("def");
    expect((await client.response()).status).toBe(200);
    expect(upstream.requests[0]?.body).toBe("abcdef");
  });
});

describe("drain()", () => {
  const never = new AbortController().signal;

  test("lets what is in flight end, says that the connection closes, and takes no new one", async () => {
    let finish = (): void => undefined;
    upstream.answer = (_request, socket) => {
      finish = () => socket.write(OK);
    };
    const idle = await rawClient(addressOf());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await upstream.request(0);
    const drained = path.drain(never);
    await idle.closed();
    finish();
    const response = await client.response();
    expect(response.body).toBe("ok");
    expect(response.header("connection")).toBe("close");
    expect(await client.closed()).toBe("");
    await drained;
    expect(path.connections).toBe(0);
    await expect(rawClient(addressOf())).rejects.toThrow("ECONNREFUSED");
  });

  test("refuses what comes after it on a connection that is still answering", async () => {
    let finish = (): void => undefined;
    upstream.answer = (_request, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
      finish = () => socket.write("lf");
    };
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("ha");
    const drained = path.drain(never);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    finish();
    expect((await client.response()).body).toBe("half");
    expect(JSON.parse((await client.response()).body)).toMatchObject({ code: "sidecar.draining" });
    await drained;
    expect(upstream.requests).toHaveLength(1);
  });

  test("cuts at its deadline", async () => {
    upstream.answer = () => undefined;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await upstream.request(0);
    const deadline = new AbortController();
    const drained = path.drain(deadline.signal);
    deadline.abort(new Error("deadline"));
    await drained;
    expect(await client.closed()).toBe("");
    expect(path.connections).toBe(0);
  });
});

describe("a decision record", () => {
  test("holds what an operator needs and no credential", async () => {
    const key = ecKey("k1");
    current = await prepare(
      bundle({
        layers: [
          layer({
            authentication: authentication({
              providers: [
                provider({
                  keys: { kind: "known", jwks: [key.jwk] },
                  locations: [{ in: "query", name: "access_token" }],
                }),
              ],
            }),
          }),
        ],
      }),
    );
    const good = token(key, claims(Date.now()));
    const bad = token(key, claims(Date.now(), { aud: "x" }));
    for (const text of [good, bad]) {
      client.send(`GET /a?access_token=${text} HTTP/1.1\r\nHost: A\r\n\r\n`);
      await client.response();
    }
    client.send(`GET /a//b?access_token=${good} HTTP/1.1\r\nHost: A\r\n\r\n`);
    await client.response();
    await poll(() => records.length === 3);
    expect(records).toMatchObject([
      {
        outcome: "permit",
        status: 200,
        method: "GET",
        path: "/a",
        host: "a",
        subject: "alice",
        provider: "corp",
        revision: 7,
      },
      {
        outcome: "deny",
        status: 401,
        code: "authn.audience",
        check: "authentication",
        policy: "shop/orders",
      },
      { outcome: "deny", status: 400, code: "request.path", check: "normal-form", path: "/a//b" },
    ]);
    expect(JSON.stringify(records)).not.toMatch(/eyJ|access_token/);
  });
});

describe("requests of one connection", () => {
  test("are served one after the other, each with its own answer", async () => {
    const answers: (() => void)[] = [];
    upstream.answer = (request, socket) => {
      const name = request.head.slice(5, 6);
      answers.push(() => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${name}`));
    };
    client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    await upstream.request(0);
    expect(upstream.requests).toHaveLength(1);
    answers[0]?.();
    expect((await client.response()).body).toBe("a");
    await upstream.request(1);
    answers[1]?.();
    expect((await client.response()).body).toBe("b");
  });

  test("are not forwarded before their turn, and none is lost, however many they are", async () => {
    let atOnce = 0;
    let most = 0;
    upstream.answer = (request, socket) => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      setImmediate(() => {
        atOnce -= 1;
        const name = /^GET \/([0-9]+) /.exec(request.head)?.[1] ?? "";
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`);
      });
    };
    const all = Array.from({ length: 300 }, (_, index) => String(index));
    client.send(all.map((name) => `GET /${name} HTTP/1.1\r\nHost: x\r\n\r\n`).join(""));
    for (const name of all) expect((await client.response()).body).toBe(name);
    expect(most).toBe(1);
  });
});

describe("listen()", () => {
  test("says when the address is taken", async () => {
    const other = createDataPath({
      current: () => OPEN,
      upstream,
      log: silentLog,
      clock: systemClock,
      metrics: createMetrics(),
    });
    await expect(other.listen(addressOf())).rejects.toMatchObject({ code: "listen.failed" });
    await other.close();
  });
});

function addressOf(): { readonly host: string; readonly port: number } {
  if (path.address === undefined) throw new TypeError("Cannot connect: it does not listen");
  return path.address;
}

/** For what has no event: looks until it holds; the test's own timeout is the deadline. */
async function poll(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
