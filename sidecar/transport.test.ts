/** TLS, PROXY headers and policy together, through the whole data path, with real clients. */
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Transport } from "../policy/bundle.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import type { TlsFolder } from "../test/support/acceptor.ts";
import { tlsFolder } from "../test/support/acceptor.ts";
import { bundle, layer, transport } from "../test/support/bundles.ts";
import { authority } from "../test/support/certificates.ts";
import type { Lane } from "../test/support/lane.ts";
import { codeOf, openLane } from "../test/support/lane.ts";
import { waitFor } from "../test/support/wait.ts";
import type { WatchedTlsFiles } from "./connection/tls-files.ts";
import { watchTlsFiles } from "./connection/tls-files.ts";
import { createMetrics } from "./metrics.ts";

let folder: TlsFolder;
let tls: WatchedTlsFiles;
let lane: Lane | undefined;
let ca = "";

beforeEach(async () => {
  const issuer = await authority();
  ca = issuer.cert;
  folder = tlsFolder(await issuer.issue({ dns: ["orders.example", "cart.example"] }));
  const options = { clock: systemClock, log: silentLog, metrics: createMetrics() };
  tls = await watchTlsFiles(folder.files, options);
});

afterEach(async () => {
  await lane?.[Symbol.asyncDispose]();
  lane = undefined;
  tls[Symbol.dispose]();
  folder[Symbol.dispose]();
});

async function open(...sections: readonly Partial<Transport>[]): Promise<Lane> {
  const layers = sections.map((section) => layer({ transport: transport(section) }));
  lane = await openLane({ tls, bundle: bundle({ layers }) });
  return lane;
}

/** One request over TLS with a connection of its own: status, and the code of a refusal. */
async function ask(
  { path }: Lane,
  host: string,
  options: ConnectionOptions = {},
): Promise<{ readonly status: number; readonly code: unknown }> {
  const socket = connect({ ...path.address, servername: "orders.example", ca, ...options });
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  let received = "";
  for await (const chunk of socket) received += String(chunk);
  const body = received.slice(received.indexOf("\r\n\r\n") + 4);
  const status = Number(received.slice(9, 12));
  return { status, code: status === 200 ? undefined : codeOf({ body }) };
}

async function askPlain(
  lane: Lane,
  start = "",
): Promise<{ readonly status: number; readonly code: unknown }> {
  await using client = await lane.client();
  client.send(`${start}GET / HTTP/1.1\r\nHost: orders.example\r\n\r\n`);
  const response = await client.response();
  return {
    status: response.status,
    code: response.status === 200 ? undefined : codeOf(response),
  };
}

const SERVED = { status: 200, code: undefined };

describe("transport.tls", () => {
  test("Strict takes TLS alone", async () => {
    const strict = await open({ tls: "Strict" });
    expect(await ask(strict, "orders.example")).toEqual(SERVED);
    expect(await askPlain(strict)).toEqual({ status: 403, code: "transport.tls-required" });
    expect(strict.upstream.requests).toHaveLength(1);
  });

  test("Plaintext takes plain connections alone", async () => {
    const plain = await open({ tls: "Plaintext" });
    const refused = { status: 403, code: "transport.tls-refused" };
    expect(await ask(plain, "orders.example")).toEqual(refused);
    expect(await askPlain(plain)).toEqual(SERVED);
  });

  test("layers that contradict each other let nobody in", async () => {
    const neither = await open({ tls: "Strict" }, { tls: "Plaintext" });
    expect(await ask(neither, "orders.example")).toMatchObject({ code: "transport.tls-refused" });
    expect(await askPlain(neither)).toMatchObject({ code: "transport.tls-required" });
  });
});

describe("SNI and Host", () => {
  test.each([
    ["orders.example", 200],
    ["Orders.Example:8443", 200],
    ["cart.example", 421],
    ["127.0.0.1", 421],
  ])("a request for %s on a connection for orders.example: %i", async (host, status) => {
    const both = await open({});
    expect((await ask(both, host)).status).toBe(status);
    expect(both.upstream.requests).toHaveLength(status === 200 ? 1 : 0);
  });

  test("without SNI any host may be asked for", async () => {
    const options = { servername: "", checkServerIdentity: () => undefined };
    expect(await ask(await open({}), "anything", options)).toEqual(SERVED);
  });

  test("hold for each stream of HTTP/2", async () => {
    const both = await open({});
    const session = connectHttp2("https://orders.example", {
      ca,
      createConnection: () =>
        connect({ ...both.path.address, servername: "orders.example", ca, ALPNProtocols: ["h2"] }),
    });
    const statusOf = async (authority: string): Promise<unknown> => {
      const stream = session.request({ ":path": "/", ":authority": authority });
      const status = new Promise((resolve) => {
        stream.once("response", (headers) => resolve(headers[":status"]));
      });
      stream.resume();
      return status;
    };
    expect(await statusOf("cart.example")).toBe(421);
    expect(await statusOf("orders.example")).toBe(200);
    session.destroy();
    expect(both.upstream.requests).toHaveLength(1);
  });
});

describe("a PROXY header", () => {
  const asking = { clientAddress: { from: "ProxyProtocol" } } as const;
  const V1 = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";

  test("stands in the record", async () => {
    const proxied = await open(asking);
    expect(await askPlain(proxied, V1)).toEqual(SERVED);
    await waitFor("the record", () => proxied.records.length === 1);
    expect(proxied.records[0]?.clientAddress).toBe("192.0.2.7");
  });

  test("is read by the layer that asks, while another layer sees the connection", async () => {
    const ipAccess = { allow: { kind: "listed", networks: ["127.0.0.0/8"] }, deny: [] } as const;
    const mixed = await open({ ipAccess }, { ...asking, ipAccess });
    expect(await askPlain(mixed, V1)).toEqual({ status: 403, code: "transport.ip-denied" });
    await waitFor("the record", () => mixed.records.length === 1);
    expect(mixed.records[0]).toMatchObject({
      clientAddress: "192.0.2.7",
      detail: "ipAccess.allow does not have 192.0.2.7",
    });
  });

  test("in mode Observe is read where it is, and missed only in the record", async () => {
    const observed = await open({ ...asking, mode: "Observe" });
    expect(await askPlain(observed)).toEqual(SERVED);
    expect(await askPlain(observed, V1)).toEqual(SERVED);
    await waitFor("the records", () => observed.records.length === 2);
    expect(observed.records).toMatchObject([
      { clientAddress: "127.0.0.1", wouldDeny: [{ code: "transport.client-address" }] },
      { clientAddress: "192.0.2.7" },
    ]);
  });

  test("is missed on connections from before the policy, and its absence ends new ones", async () => {
    const swapped = await open({});
    const before = lane?.current();
    await using old = await swapped.client();
    old.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await old.response()).status).toBe(200);
    const required = await openLane({
      bundle: bundle({ layers: [layer({ transport: transport(asking) })] }),
    });
    const next = required.current();
    await required[Symbol.asyncDispose]();
    expect(before?.proxyHeader).toBe("none");
    swapped.current = () => next;
    old.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const response = await old.response();
    expect({ status: response.status, code: codeOf(response) }).toEqual({
      status: 503,
      code: "transport.client-address",
    });
    await using fresh = await swapped.client();
    fresh.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(await fresh.closed()).toBe("");
    expect(swapped.metrics.value("postern_connections_refused_total", "proxy-header")).toBe(1);
  });
});
