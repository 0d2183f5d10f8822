import { connect as connectHttp2 } from "node:http2";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { AcceptorStand } from "../../test/support/acceptor.ts";
import { openStand } from "../../test/support/acceptor.ts";
import type { RawClient } from "../../test/support/raw-client.ts";
import { rawClient } from "../../test/support/raw-client.ts";
import { waitFor } from "../../test/support/wait.ts";
import { ManualClock } from "../../runtime/clock.ts";

const GET = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const V1 = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";
const V2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x67\x01\xbb";
const V2_LOCAL = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

let stand: AcceptorStand;

beforeEach(async () => {
  stand = await openStand({ h2: true });
});

afterEach(async () => {
  await stand[Symbol.asyncDispose]();
});

function refusals(of: AcceptorStand, reason: string): number {
  return of.metrics.value("postern_connections_refused_total", reason);
}

async function answered(client: RawClient): Promise<string> {
  return (await client.response()).body;
}

describe("a plain connection", () => {
  test("is served with its peer's address, and loses no byte", async () => {
    await using client = await rawClient(stand.address);
    client.send(GET + GET);
    expect(await answered(client)).toBe("answer to /a");
    expect(await answered(client)).toBe("answer to /a");
    expect(stand.inbounds).toMatchObject([
      { protocol: "http/1.1", client: { address: "127.0.0.1", port: client.socket.localPort } },
    ]);
    expect(stand.inbounds[0]?.client).not.toHaveProperty("tls");
    expect(stand.inbounds[0]?.client).not.toHaveProperty("proxied");
  });

  test("is answered when the caller has closed its half already", async () => {
    await using client = await rawClient(stand.address);
    client.socket.end(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    expect(await client.closed()).toContain("answer to /a");
  });

  test("that ends before it has said anything is no refusal", async () => {
    const client = await rawClient(stand.address);
    client.socket.end();
    await client.closed();
    expect(stand.metrics.render()).not.toContain("postern_connections_refused_total{");
    expect(stand.inbounds).toEqual([]);
  });

  test.each([
    ["before its first byte", ""],
    ["within a PROXY header", V1.slice(0, 10)],
    ["within a preface", "PRI * HT"],
    ["within a request", GET.slice(0, 5)],
  ])("that is reset %s does not touch the others", async (_title, bytes) => {
    stand.proxyHeader = bytes.startsWith("PROXY") ? "required" : "none";
    const client = await rawClient(stand.address);
    client.send(bytes);
    await waitFor("the connection", () => stand.acceptor.connections === 1);
    client.socket.resetAndDestroy();
    await waitFor("the connection to be gone", () => stand.acceptor.connections === 0);
    stand.proxyHeader = "none";
    await using other = await rawClient(stand.address);
    other.send(GET);
    expect(await answered(other)).toBe("answer to /a");
  });

  test("that brings a ClientHello is HTTP/1.1's to judge where there is no certificate", async () => {
    await using client = await rawClient(stand.address);
    client.send("\x16\x03\x01\0\xa5\r\n\r\n");
    expect((await client.response()).status).toBe(400);
  });
});

describe("HTTP/2 without TLS", () => {
  test("is known by its preface", async () => {
    const session = connectHttp2(`http://127.0.0.1:${stand.address.port}`);
    const stream = session.request({ ":path": "/b" });
    let body = "";
    for await (const chunk of stream) body += String(chunk);
    expect(body).toBe("answer to /b");
    expect(stand.inbounds).toMatchObject([{ protocol: "h2" }]);
    session.destroy();
  });

  test("is not, when a byte of the preface is another one", async () => {
    await using client = await rawClient(stand.address);
    client.send("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n");
    expect((await client.response()).status).toBe(400);
    expect(stand.inbounds).toMatchObject([{ protocol: "http/1.1" }]);
  });

  test("is HTTP/1.1's to refuse where there is no server for it", async () => {
    await using alone = await openStand();
    await using client = await rawClient(alone.address);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect((await client.response()).status).toBe(400);
  });
});

describe("the PROXY header", () => {
  test.each([
    ["version 1", V1],
    ["version 2", V2],
  ])("%s tells the client's address, at whatever byte it is split", async (_title, header) => {
    stand.proxyHeader = "required";
    const bytes = header + GET;
    for (let at = 1; at < bytes.length; at++) {
      await using client = await rawClient(stand.address);
      client.send(bytes.slice(0, at));
      await waitFor("the first part", () => stand.acceptor.connections > 0);
      client.send(bytes.slice(at));
      expect(await answered(client)).toBe("answer to /a");
    }
    expect(stand.inbounds).toHaveLength(bytes.length - 1);
    for (const { client } of stand.inbounds) {
      expect(client).toMatchObject({
        address: "127.0.0.1",
        proxied: { address: "192.0.2.7", port: 4711 },
      });
    }
  });

  test("comes before HTTP/2 as well, byte by byte", async () => {
    stand.proxyHeader = "required";
    await using client = await rawClient(stand.address);
    for (const byte of `${V2}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.split("")) client.send(byte);
    await waitFor("the connection to be served", () => stand.inbounds.length === 1);
    expect(stand.inbounds).toMatchObject([
      { protocol: "h2", client: { proxied: { address: "192.0.2.7" } } },
    ]);
  });

  test("of a proxy that speaks for itself (LOCAL) is the proxy's address", async () => {
    stand.proxyHeader = "required";
    await using client = await rawClient(stand.address);
    client.send(V2_LOCAL + GET);
    expect(await answered(client)).toBe("answer to /a");
    expect(stand.inbounds[0]?.client.proxied?.address).toBe("127.0.0.1");
  });

  test("of a proxy that does not know (UNKNOWN) leaves the client's address open", async () => {
    stand.proxyHeader = "required";
    await using client = await rawClient(stand.address);
    client.send(`PROXY UNKNOWN\r\n${GET}`);
    expect(await answered(client)).toBe("answer to /a");
    expect(stand.inbounds[0]?.client).not.toHaveProperty("proxied");
  });

  test.each([
    ["missing", GET],
    ["malformed", V1.replace("TCP4", "TCP6") + GET],
    ["behind the request", GET + V1],
    ["behind an empty line", `\r\n${V1}${GET}`],
  ])("that is required and %s ends the connection without a word", async (_title, bytes) => {
    stand.proxyHeader = "required";
    await using client = await rawClient(stand.address);
    client.send(bytes);
    expect(await client.closed()).toBe("");
    expect(refusals(stand, "proxy-header")).toBe(1);
    expect(stand.inbounds).toEqual([]);
  });

  test("that is optional is read where it is, and malformed all the same", async () => {
    stand.proxyHeader = "optional";
    await using without = await rawClient(stand.address);
    without.send(GET);
    expect(await answered(without)).toBe("answer to /a");
    await using withOne = await rawClient(stand.address);
    withOne.send(V1 + GET);
    expect(await answered(withOne)).toBe("answer to /a");
    expect(stand.inbounds.map(({ client }) => client.proxied?.address)).toEqual([
      undefined,
      "192.0.2.7",
    ]);
    await using broken = await rawClient(stand.address);
    broken.send(V1.replace("4711", "471100") + GET);
    expect(await broken.closed()).toBe("");
  });

  test("that nobody asked for is no request, and decides nothing", async () => {
    await using client = await rawClient(stand.address);
    client.send(V1 + GET);
    expect((await client.response()).status).toBe(400);
    expect(stand.inbounds[0]?.client).not.toHaveProperty("proxied");
  });

  test("a second one is not taken for the client's", async () => {
    stand.proxyHeader = "required";
    await using client = await rawClient(stand.address);
    client.send(V1 + V1.replace("192.0.2.7", "10.1.2.3") + GET);
    expect((await client.response()).status).toBe(400);
    expect(stand.inbounds[0]?.client.proxied?.address).toBe("192.0.2.7");
  });
});

describe("bounds", () => {
  test("one connection more is dropped and counted", async () => {
    await using full = await openStand({ limits: { maxConnections: 1 } });
    await using first = await rawClient(full.address);
    first.send(GET);
    expect(await answered(first)).toBe("answer to /a");
    await using second = await rawClient(full.address);
    expect(await second.closed()).toBe("");
    expect(full.metrics.value("postern_connections_dropped_total")).toBe(1);
    first.send(GET);
    expect(await answered(first)).toBe("answer to /a");
  });

  test.each([
    ["nothing", ""],
    ["a part of a PROXY header", "PROXY TCP4 "],
  ])("a connection with %s has until the deadline", async (_title, bytes) => {
    const clock = new ManualClock();
    await using slow = await openStand({ clock, h2: true });
    slow.proxyHeader = "required";
    await using client = await rawClient(slow.address);
    client.send(bytes);
    await waitFor("the connection", () => slow.acceptor.connections === 1);
    await clock.advance(9_000);
    expect(slow.acceptor.connections).toBe(1);
    await clock.advance(1_100);
    expect(await client.closed()).toBe("");
    expect(refusals(slow, "first-bytes")).toBe(1);
  });

  test.each([
    ["nothing", ""],
    ["a part of a method", "P"],
  ])("a connection with %s is HTTP/1.1's after the deadline, whole", async (_title, bytes) => {
    const clock = new ManualClock();
    await using slow = await openStand({ clock, h2: true });
    await using client = await rawClient(slow.address);
    client.send(bytes);
    await waitFor("the connection", () => slow.acceptor.connections === 1);
    await clock.advance(10_100);
    expect(slow.inbounds).toMatchObject([{ protocol: "http/1.1" }]);
    client.send(bytes === "" ? GET : GET.replace("GET", "UT"));
    expect(await answered(client)).toBe("answer to /a");
    expect(refusals(slow, "first-bytes")).toBe(0);
  });

  test("a connection that has been handed over has no deadline of ours any more", async () => {
    const clock = new ManualClock();
    await using slow = await openStand({ clock });
    await using client = await rawClient(slow.address);
    client.send(GET);
    expect(await answered(client)).toBe("answer to /a");
    await clock.advance(60_000);
    client.send(GET);
    expect(await answered(client)).toBe("answer to /a");
  });
});

describe("drain()", () => {
  test("ends those that have said nothing, and waits for those in flight", async () => {
    let open = (): void => undefined;
    stand.gate = new Promise((resolve) => {
      open = resolve;
    });
    await using silent = await rawClient(stand.address);
    await using busy = await rawClient(stand.address);
    busy.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    await waitFor("the request", () => stand.inbounds.length === 1);
    const drained = stand.acceptor.drain(new AbortController().signal);
    expect(await silent.closed()).toBe("");
    await expect(rawClient(stand.address)).rejects.toThrow("ECONNREFUSED");
    open();
    expect(await busy.closed()).toContain("answer to /a");
    await drained;
    expect(stand.acceptor.connections).toBe(0);
  });

  test("cuts what is left at the signal", async () => {
    stand.gate = new Promise(() => undefined);
    await using busy = await rawClient(stand.address);
    busy.send(GET);
    await waitFor("the request", () => stand.inbounds.length === 1);
    const cut = new AbortController();
    const drained = stand.acceptor.drain(cut.signal);
    cut.abort();
    await drained;
    expect(await busy.closed()).toBe("");
  });
});

test("listen() says where it cannot listen", async () => {
  await expect(openStand({ listen: stand.address })).rejects.toMatchObject({
    code: "listen.failed",
    message: expect.stringContaining(`"127.0.0.1:${stand.address.port}"`),
  });
});
