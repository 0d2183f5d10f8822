import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { PosternError } from "../../runtime/error.ts";
import { fetchJson, refusedAddress } from "./fetch.ts";

let server: Server;
let base: string;
let answer: RequestListener;
const signal = new AbortController().signal;

beforeAll(async () => {
  server = createServer((req, res) => answer(req, res));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function failure(run: Promise<unknown>): Promise<PosternError> {
  try {
    await run;
  } catch (error) {
    if (error instanceof PosternError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

describe("fetchJson()", () => {
  test("returns the parsed JSON of a loopback http server", async () => {
    answer = (_req, res) => res.end('{"keys":[]}');
    expect(await fetchJson(`${base}/jwks`, signal)).toEqual({ keys: [] });
  });

  test("resolves a name and connects to it", async () => {
    answer = (_req, res) => res.end("[1]");
    expect(await fetchJson(base.replace("127.0.0.1", "localhost"), signal)).toEqual([1]);
  });

  test.each([
    ["a redirect", 302, "", /answers with a redirect \(HTTP 302\), which is not followed$/],
    ["an error", 500, "{}", /it answers HTTP 500$/],
    ["text that is not JSON", 200, "<html>secret</html>", /the answer is not JSON$/],
    ["too much", 200, " ".repeat(256 * 1024 + 1), /the answer exceeds 262144 bytes$/],
  ])("fails when the server answers with %s", async (_title, status, text, message) => {
    answer = (_req, res) => {
      res.writeHead(status, { location: "http://169.254.169.254/" });
      res.end(text);
    };
    const error = await failure(fetchJson(`${base}/jwks`, signal));
    expect(error.code).toBe("fetch.failed");
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`${base}/jwks`);
    expect(error.message).not.toContain("secret");
  });

  test("fails when the server does not answer in time", async () => {
    answer = () => undefined;
    const error = await failure(fetchJson(base, signal, { deadlineMs: 50 }));
    expect(error.code).toBe("fetch.failed");
    expect(error.message).toMatch(/no answer within 50 ms$/);
  });

  test("fails when the body never ends", async () => {
    answer = (_req, res) => res.write("{");
    const error = await failure(fetchJson(base, signal, { deadlineMs: 50 }));
    expect(error.message).toMatch(/no answer within 50 ms$/);
  });

  test("fails when nobody listens", async () => {
    const error = await failure(fetchJson("http://127.0.0.1:1/", signal));
    expect(error.code).toBe("fetch.failed");
    expect(error.message).toMatch(/no connection$/);
  });

  test("says aborted when the caller gives up", async () => {
    answer = () => undefined;
    const error = await failure(fetchJson(base, AbortSignal.abort()));
    expect(error.code).toBe("aborted");
  });

  test.each([
    [
      "plain http elsewhere",
      "http://id.example.com/jwks",
      /plain http is accepted on loopback only/,
    ],
    ["plain http to a private address", "http://10.0.0.1/jwks", /not a loopback address/],
    ["the cloud's metadata", "https://169.254.169.254/latest", /link-local, metadata/],
    ["metadata in decimal", "http://2852039166/", /link-local, metadata/],
    ["metadata mapped into IPv6", "https://[::ffff:169.254.169.254]/", /link-local, metadata/],
    ["metadata behind NAT64", "https://[64:ff9b::a9fe:a9fe]/", /link-local, metadata/],
    ["the unspecified address", "http://0.0.0.0:8080/", /unspecified/],
    ["another scheme", "file:///etc/passwd", /only https is accepted/],
    ["no URL", "jwks", /it is not a URL/],
    ["credentials", "https://user:hunter2@id.example.com/", /with credentials is not accepted/],
  ])("refuses %s without connecting", async (_title, url, message) => {
    const error = await failure(fetchJson(url, signal));
    expect(error.code).toBe("fetch.refused");
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("hunter2");
  });
});

describe("refusedAddress()", () => {
  test.each(["10.1.2.3", "192.168.1.1", "8.8.8.8", "127.0.0.1", "::1", "2001:db8::1", "fd00::1"])(
    "accepts %s over https",
    (address) => expect(refusedAddress(address, true)).toBeUndefined(),
  );

  test.each(["169.254.1.1", "fe80::1", "ff02::1", "224.0.0.1", "255.255.255.255", "::", "x"])(
    "refuses %s",
    (address) => expect(refusedAddress(address, true)).toEqual(expect.any(String)),
  );
});
