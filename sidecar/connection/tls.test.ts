/** The acceptor over TLS, with real clients: what is spoken, who is let in, and what a change of files does. */
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { AcceptorStand, StandOptions, TlsFolder } from "../../test/support/acceptor.ts";
import { openStand, tlsFolder } from "../../test/support/acceptor.ts";
import type { Authority, Issued } from "../../test/support/certificates.ts";
import { authority } from "../../test/support/certificates.ts";
import { rawClient } from "../../test/support/raw-client.ts";
import { waitFor } from "../../test/support/wait.ts";
import { ManualClock } from "../../runtime/clock.ts";

const V1 = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";
const SPIFFE = "spiffe://cluster.local/ns/shop/sa/web";

let ca: Authority;
let clients: Authority;
let first: Issued;
let second: Issued;
let folder: TlsFolder;
let open: AcceptorStand[] = [];

beforeAll(async () => {
  ca = await authority("Server CA");
  clients = await authority("Client CA");
  first = await ca.issue({ dns: ["localhost"], commonName: "first" });
  second = await ca.issue({ dns: ["localhost"], commonName: "second" });
});

beforeEach(() => {
  folder = tlsFolder(first);
});

afterEach(async () => {
  await Promise.all(open.map((stand) => stand[Symbol.asyncDispose]()));
  open = [];
  folder[Symbol.dispose]();
});

async function stands(options: StandOptions = {}): Promise<AcceptorStand> {
  const stand = await openStand({ tls: folder.files, ...options });
  open.push(stand);
  return stand;
}

async function mutual(): Promise<AcceptorStand> {
  folder[Symbol.dispose]();
  folder = tlsFolder(first, clients.cert);
  return stands({ tls: folder.files });
}

function client(stand: AcceptorStand, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: stand.address.port,
      servername: "localhost",
      ca: ca.cert,
      ...options,
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => resolve(socket));
  });
}

/** A whole answer over a connection that may be used again. */
async function ask(socket: TLSSocket, path = "/a"): Promise<string> {
  const wanted = `answer to ${path}`;
  let received = "";
  return new Promise((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      received += chunk.toString();
      if (!received.endsWith(wanted)) return;
      settle();
      resolve(wanted);
    };
    const fail = (cause?: Error): void => {
      settle();
      reject(new Error(`The connection ended: "${received}"`, { cause }));
    };
    const ended = (): void => {
      fail();
    };
    const settle = (): void => {
      socket.removeListener("data", take);
      socket.removeListener("error", fail);
      socket.removeListener("close", ended);
    };
    socket.on("data", take);
    socket.once("error", fail);
    socket.once("close", ended);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  });
}

async function askOnce(stand: AcceptorStand, options: ConnectionOptions = {}): Promise<string> {
  const socket = await client(stand, options);
  try {
    return await ask(socket);
  } finally {
    socket.destroy();
  }
}

function refusals(stand: AcceptorStand, reason: string): number {
  return stand.metrics.value("postern_connections_refused_total", reason);
}

describe("TLS", () => {
  test("is found by its first byte, beside connections without it", async () => {
    const stand = await stands();
    expect(await askOnce(stand)).toBe("answer to /a");
    await using plain = await rawClient(stand.address);
    plain.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await plain.response()).body).toBe("answer to /b");
    expect(stand.inbounds.map(({ client: { tls } }) => tls)).toEqual([
      { version: "TLSv1.3", serverName: "localhost" },
      undefined,
    ]);
  });

  test.each([
    ["1.3", { minVersion: "TLSv1.3" }, "TLSv1.3"],
    ["1.2", { maxVersion: "TLSv1.2" }, "TLSv1.2"],
  ] as const)("%s is served", async (_title, options, version) => {
    const stand = await stands();
    await askOnce(stand, options);
    expect(stand.inbounds[0]?.client.tls?.version).toBe(version);
  });

  test.each([
    ["1.1", { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" }],
    ["1.2 with CBC", { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA" }],
    ["1.2 without forward secrecy", { maxVersion: "TLSv1.2", ciphers: "AES128-GCM-SHA256" }],
  ] as const)("%s is refused", async (_title, options) => {
    const stand = await stands();
    await expect(client(stand, options)).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_SSL_.*ALERT/),
    });
    await waitFor("the count", () => refusals(stand, "tls-handshake") === 1);
    expect(stand.inbounds).toEqual([]);
  });

  test("is answered when the caller has closed its half already", async () => {
    const stand = await stands();
    const socket = await client(stand, { allowHalfOpen: true } as ConnectionOptions);
    socket.end("GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let received = "";
    for await (const chunk of socket) received += String(chunk);
    expect(received).toContain("answer to /a");
  });

  test("SNI is told in lower case, and may be absent", async () => {
    const stand = await stands();
    await askOnce(stand, { servername: "LocalHost" });
    await askOnce(stand, { servername: "", checkServerIdentity: () => undefined });
    expect(stand.inbounds.map(({ client: { tls } }) => tls)).toEqual([
      { version: "TLSv1.3", serverName: "localhost" },
      { version: "TLSv1.3" },
    ]);
  });

  test("refuses to renegotiate", async () => {
    const stand = await stands();
    const socket = await client(stand, { maxVersion: "TLSv1.2" });
    const outcome = await new Promise<Error | null>((resolve) => {
      socket.on("error", resolve);
      socket.renegotiate({ rejectUnauthorized: false }, resolve);
    });
    expect(outcome).toMatchObject({ code: "ERR_SSL_NO_RENEGOTIATION" });
    socket.destroy();
  });
});

describe("ALPN", () => {
  test("offers HTTP/2 where there is a server for it", async () => {
    const stand = await stands({ h2: true });
    const session = connectHttp2(`https://localhost:${stand.address.port}`, {
      ca: ca.cert,
      host: "127.0.0.1",
    });
    let body = "";
    for await (const chunk of session.request({ ":path": "/b" })) body += String(chunk);
    expect(body).toBe("answer to /b");
    expect(stand.inbounds).toMatchObject([{ protocol: "h2", client: { tls: {} } }]);
    session.destroy();
  });

  test.each([
    ["both", ["http/1.1", "h2"], "h2"],
    ["HTTP/1.1", ["http/1.1"], "http/1.1"],
    ["none", [], "http/1.1"],
  ])("of a client that offers %s", async (_title, ALPNProtocols, protocol) => {
    const stand = await stands({ h2: true });
    const socket = await client(stand, { ALPNProtocols });
    await waitFor("the connection", () => stand.inbounds.length === 1);
    expect(stand.inbounds[0]?.protocol).toBe(protocol);
    socket.destroy();
  });

  test("does not offer HTTP/2 where there is none", async () => {
    const stand = await stands();
    const socket = await client(stand, { ALPNProtocols: ["h2", "http/1.1"] });
    expect(socket.alpnProtocol).toBe("http/1.1");
    socket.destroy();
  });

  test("without a common protocol there is no connection (RFC 7301 §3.2)", async () => {
    const stand = await stands();
    await expect(client(stand, { ALPNProtocols: ["h2"] })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
  });
});

describe("a handshake", () => {
  test("may come behind a PROXY header", async () => {
    const stand = await stands();
    stand.proxyHeader = "required";
    const tcp = connectTcp({ ...stand.address, noDelay: true });
    tcp.write(V1.slice(0, 9));
    await waitFor("the connection", () => stand.acceptor.connections === 1);
    tcp.write(V1.slice(9));
    const socket = connect({ socket: tcp, servername: "localhost", ca: ca.cert });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
    });
    expect(await ask(socket)).toBe("answer to /a");
    expect(stand.inbounds[0]?.client).toMatchObject({
      proxied: { address: "192.0.2.7" },
      tls: { serverName: "localhost" },
    });
    socket.destroy();
  });

  test("has until its deadline as a whole, however it drips", async () => {
    const clock = new ManualClock(Date.now());
    const stand = await stands({ clock });
    await using slow = await rawClient(stand.address);
    slow.send("\x16\x03\x01\x02\x00");
    await waitFor("the connection", () => stand.acceptor.connections === 1);
    for (let second = 0; second < 4; second++) {
      await clock.advance(1_000);
      slow.send("\x01");
    }
    expect(stand.acceptor.connections).toBe(1);
    await clock.advance(1_200);
    expect(await slow.closed()).toBe("");
    expect(refusals(stand, "tls-handshake")).toBe(1);
  });

  test("is one of so many: one more is dropped, and those that are served go on", async () => {
    const stand = await stands({ limits: { maxHandshakes: 2 } });
    const served = await client(stand);
    expect(await ask(served)).toBe("answer to /a");
    await using a = await rawClient(stand.address);
    await using b = await rawClient(stand.address);
    a.send("\x16\x03\x01\x02\x00");
    b.send("\x16\x03\x01\x02\x00");
    await waitFor("the connections", () => stand.acceptor.connections === 3);
    await waitFor("the bound", async () => {
      await client(stand).catch(() => undefined);
      return refusals(stand, "tls-overload") > 0;
    });
    expect(await ask(served)).toBe("answer to /a");
    a.close();
    await waitFor("room for another", () => askOnce(stand).catch(() => undefined));
    served.destroy();
  });

  test.each([
    ["that is no TLS behind its first byte", "\x16nonsense, and more of it\r\n\r\n"],
    ["that is cut off", "\x16\x03\x01\x00\xa5\x01"],
  ])("%s ends and is counted", async (_title, bytes) => {
    const stand = await stands();
    const raw = await rawClient(stand.address);
    raw.send(bytes);
    raw.socket.end();
    await raw.closed();
    await waitFor("the count", () => refusals(stand, "tls-handshake") === 1);
    expect(await askOnce(stand)).toBe("answer to /a");
  });

  test("that is reset does not touch the others", async () => {
    const stand = await stands();
    const raw = await rawClient(stand.address);
    raw.send("\x16\x03\x01\x00\xa5\x01");
    await waitFor("the connection", () => stand.acceptor.connections === 1);
    raw.socket.resetAndDestroy();
    await waitFor("the connection to be gone", () => stand.acceptor.connections === 0);
    expect(await askOnce(stand)).toBe("answer to /a");
  });
});

describe("a client certificate", () => {
  const usage = "client";

  test("that verifies is told, with its names", async () => {
    const stand = await mutual();
    const issued = await clients.issue({ uris: [SPIFFE], dns: ["web"], usage });
    await askOnce(stand, issued);
    expect(stand.inbounds[0]?.client.tls?.certificate).toMatchObject({
      subject: "CN=leaf",
      subjectAltNames: ["DNS:web", `URI:${SPIFFE}`],
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  test("may be absent: whether one is needed is policy's to say", async () => {
    const stand = await mutual();
    await askOnce(stand);
    expect(stand.inbounds[0]?.client.tls).toEqual({ version: "TLSv1.3", serverName: "localhost" });
  });

  test("is not asked for without CAs", async () => {
    const stand = await stands();
    await askOnce(stand, await clients.issue({ uris: [SPIFFE], usage }));
    expect(stand.inbounds[0]?.client.tls).not.toHaveProperty("certificate");
  });

  test.each([
    ["of another CA", async () => ca.issue({ uris: [SPIFFE], usage })],
    ["of a CA of the same name", async () => (await authority("Client CA")).issue({ usage })],
    ["of itself", async () => authority("Client CA")],
    ["that has expired", () => clients.issue({ usage, notAfter: new Date(Date.now() - 1000) })],
    [
      "that is not valid yet",
      () =>
        clients.issue({
          usage,
          notBefore: new Date(Date.now() + 60_000),
          notAfter: new Date(Date.now() + 120_000),
        }),
    ],
    ["of a server", () => clients.issue({ uris: [SPIFFE], usage: "server" })],
    ["with an odd name", () => clients.issue({ uris: ["http://a/, DNS:admin"], usage })],
    ["with two SPIFFE IDs", () => clients.issue({ uris: [SPIFFE, `${SPIFFE}2`], usage })],
  ])("%s ends the connection", async (_title, issue) => {
    const stand = await mutual();
    for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
      await expect(askOnce(stand, { ...(await issue()), maxVersion })).rejects.toThrow();
    }
    expect(refusals(stand, "client-certificate")).toBe(2);
    expect(stand.inbounds).toEqual([]);
  });

  test("counts no more when its CA was taken out, not even in a resumed session", async () => {
    const stand = await mutual();
    const issued = await clients.issue({ uris: [SPIFFE], usage });
    const before = await client(stand, { ...issued, maxVersion: "TLSv1.2" });
    const session = before.getSession();
    expect(await ask(before)).toBe("answer to /a");
    if (session === undefined) throw new TypeError("There is no session");
    const resumed = await client(stand, { ...issued, maxVersion: "TLSv1.2", session });
    expect(resumed.isSessionReused()).toBe(true);
    await waitFor("the connection", () => stand.inbounds.length === 2);
    expect(stand.inbounds[1]?.client.tls?.certificate?.subjectAltNames).toEqual([`URI:${SPIFFE}`]);
    resumed.destroy();

    const other = await authority("Other CA");
    folder.write("clientCa", other.cert);
    await waitFor("the new CA", () => stand.files?.current.clientCa === other.cert);
    const again = askOnce(stand, { ...issued, maxVersion: "TLSv1.2", session });
    await expect(again).rejects.toThrow();
    expect(refusals(stand, "client-certificate")).toBe(1);
    // Those that are open go on.
    expect(await ask(before)).toBe("answer to /a");
    before.destroy();
  });
});

describe("new files", () => {
  test("hold for new connections, and no request is lost under load", async () => {
    const stand = await stands();
    const kept = await client(stand);
    const seen = new Set<string>();
    const stop = new AbortController();
    let answers = 0;
    const caller = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const socket = await client(stand);
        seen.add(socket.getPeerCertificate().subject.CN as string);
        await ask(socket);
        await ask(socket, "/b");
        answers += 2;
        socket.destroy();
      }
    };
    const callers = [caller(), caller(), caller()];
    const keeping = (async () => {
      while (!stop.signal.aborted) {
        await ask(kept);
        answers += 1;
      }
    })();
    await waitFor("the first certificate", () => seen.has("first"));
    for (const issued of [second, first, second]) {
      folder.install(issued);
      await waitFor("the files", () => stand.files?.current.cert === issued.cert);
      const before = answers;
      await waitFor("requests behind the change", () => answers > before + 20);
    }
    stop.abort();
    await Promise.all([...callers, keeping]);
    expect(seen).toEqual(new Set(["first", "second"]));
    expect(kept.getPeerCertificate().subject.CN).toBe("first");
    expect(stand.metrics.render()).not.toContain("postern_connections_refused_total{");
    kept.destroy();
  });

  test("that are broken change nothing", async () => {
    const stand = await stands();
    folder.write("cert", "nonsense");
    await waitFor("the error", () => stand.errors.length > 0);
    const socket = await client(stand);
    expect(socket.getPeerCertificate().subject.CN).toBe("first");
    expect(await ask(socket)).toBe("answer to /a");
    socket.destroy();
    folder.install(second);
    await waitFor("the files", () => stand.files?.current.cert === second.cert);
    const later = await client(stand);
    expect(later.getPeerCertificate().subject.CN).toBe("second");
    later.destroy();
  });
});

describe("drain()", () => {
  test("ends handshakes, and waits for what is in flight", async () => {
    const stand = await stands();
    const busy = await client(stand);
    expect(await ask(busy)).toBe("answer to /a");
    let answer = (): void => undefined;
    stand.gate = new Promise((resolve) => {
      answer = resolve;
    });
    const answered = ask(busy);
    await using shaking = await rawClient(stand.address);
    shaking.send("\x16\x03\x01\x00\xa5\x01");
    await waitFor("the connections", () => stand.acceptor.connections === 2);
    const cut = new AbortController();
    const drained = stand.acceptor.drain(cut.signal);
    expect(await shaking.closed()).toBe("");
    answer();
    expect(await answered).toBe("answer to /a");
    cut.abort();
    await drained;
    expect(stand.acceptor.connections).toBe(0);
  });
});
