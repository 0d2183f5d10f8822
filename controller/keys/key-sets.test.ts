import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { keySourceId } from "../../policy/key-sources.ts";
import type { KeyResolution, KeySource } from "../../policy/resources.ts";
import { ManualClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { waitFor } from "../../test/support/wait.ts";
import { createKeySets, KEYS_PENDING } from "./key-sets.ts";
import type { KeySets } from "./key-sets.ts";

const MINUTE = 60_000;
const never = new AbortController().signal;

function jwks(...kids: readonly string[]): string {
  const { publicKey } = generateKeyPairSync("ed25519");
  const jwk = publicKey.export({ format: "jwk" });
  return JSON.stringify({ keys: kids.map((kid) => ({ ...jwk, kid, alg: "EdDSA" })) });
}

describe("createKeySets()", () => {
  let server: Server;
  let base: string;
  let answer: RequestListener;
  let requests: string[];
  let clock: ManualClock;
  let keySets: KeySets;

  beforeAll(async () => {
    server = createServer((req, res) => {
      requests.push(req.url ?? "");
      answer(req, res);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    requests = [];
    clock = new ManualClock();
    keySets = createKeySets({ clock, log: silentLog, maxStaleMs: 60 * MINUTE, deadlineMs: 2_000 });
  });
  afterEach(() => keySets.close());

  const uri = (path = "/jwks"): KeySource => ({ kind: "uri", uri: `${base}${path}` });
  const resolution = (source: KeySource): KeyResolution | undefined =>
    keySets.resolve().get(keySourceId(source));
  const want = async (...sources: readonly KeySource[]): Promise<void> => {
    keySets.want(sources, new Map());
    await keySets.settled(5_000, never);
  };
  const kids = (source: KeySource): unknown => {
    const found = resolution(source);
    return found?.kind === "known" ? found.jwks.map(({ kid }) => kid) : found;
  };
  const attempts = (count: number): Promise<boolean> =>
    waitFor(`${count} requests`, () => requests.length >= count && keySets.counts.fetches >= count);

  test("fetches a key set once for all who want it, and is pending until then", async () => {
    answer = (_req, res) => res.end(jwks("a"));
    keySets.want([uri(), uri()], new Map());
    expect(resolution(uri())).toEqual({ kind: "unavailable", reason: KEYS_PENDING });
    await keySets.settled(5_000, never);
    expect(kids(uri())).toEqual(["a"]);
    keySets.want([uri()], new Map());
    expect(requests).toEqual(["/jwks"]);
    expect(keySets.counts).toEqual({ known: 1, unavailable: 0, fetches: 1 });
  });

  test("gives the very same answer while nothing changes", async () => {
    answer = (_req, res) => res.end(jwks("a"));
    await want(uri());
    expect(resolution(uri())).toBe(resolution(uri()));
  });

  test("refreshes, and ticks when the keys changed and only then", async () => {
    const first = jwks("a");
    answer = (_req, res) => res.end(first);
    await want(uri());
    const end = new AbortController();
    let ticks = 0;
    const counting = (async () => {
      for await (const _ of keySets.changes(end.signal)) ticks += 1;
    })();
    await clock.advance(6 * MINUTE);
    await attempts(2);
    answer = (_req, res) => res.end(jwks("b"));
    await waitFor("the second refresh is planned", async () => {
      await clock.advance(6 * MINUTE);
      return requests.length >= 3;
    });
    await waitFor("the new key is known", () => JSON.stringify(kids(uri())) === '["b"]');
    await waitFor("a tick", () => ticks === 1);
    end.abort();
    await counting;
    expect(ticks).toBe(1);
  });

  test.each<[string, RequestListener, RegExp]>([
    ["is down", (_req, res) => res.destroy(), /no connection/],
    ["answers with an error", (_req, res) => res.writeHead(500).end(), /HTTP 500/],
    ["answers with text", (_req, res) => res.end("<html>"), /not JSON/],
    [
      "has a symmetric key",
      (_req, res) => res.end('{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'),
      /symmetric key/,
    ],
    [
      "has a private key",
      (_req, res) => res.end('{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","d":"c2VjcmV0"}]}'),
      /private key/,
    ],
  ])("is unavailable, with the reason, when the issuer %s", async (_title, bad, reason) => {
    answer = bad;
    await want(uri());
    const found = resolution(uri());
    expect(found?.kind).toBe("unavailable");
    expect(found?.kind === "unavailable" ? found.reason : "").toMatch(reason);
    expect(JSON.stringify(found)).not.toContain("c2VjcmV0");
  });

  test("keeps the last good keys through failures, for a bounded time", async () => {
    answer = (_req, res) => res.end(jwks("a"));
    await want(uri());
    answer = (_req, res) => res.writeHead(503).end();
    await clock.advance(6 * MINUTE);
    await attempts(2);
    expect(kids(uri())).toEqual(["a"]);
    await clock.advance(55 * MINUTE);
    expect(resolution(uri())).toMatchObject({
      kind: "unavailable",
      reason: expect.stringMatching(/^The keys could not be refreshed since 20.*HTTP 503/),
    });
    answer = (_req, res) => res.end(jwks("b"));
    await waitFor("the issuer is asked again", async () => {
      await clock.advance(MINUTE);
      return JSON.stringify(kids(uri())) === '["b"]';
    });
  });

  test("cools down between failures: at most a minute, at least half a second", async () => {
    answer = (_req, res) => res.writeHead(500).end();
    await want(uri());
    await clock.advance(499);
    expect(requests).toHaveLength(1);
    for (let minute = 1; minute <= 10; minute += 1) {
      const before = requests.length;
      await waitFor(`attempt ${minute}`, async () => {
        await clock.advance(MINUTE);
        return requests.length > before;
      });
    }
    expect(requests.length).toBeLessThan(40);
  });

  test("one issuer's silence holds up no other", async () => {
    answer = (req, res) => {
      if (req.url === "/good") res.end(jwks("a"));
    };
    keySets.want([uri("/silent"), uri("/good")], new Map());
    await waitFor("the good one", () => JSON.stringify(kids(uri("/good"))) === '["a"]');
    expect(resolution(uri("/silent"))).toEqual({ kind: "unavailable", reason: KEYS_PENDING });
  });

  test("a source that nobody wants any more is forgotten, and its late answer with it", async () => {
    let late: (() => void) | undefined;
    answer = (_req, res) => {
      late = () => res.end(jwks("old"));
    };
    keySets.want([uri()], new Map());
    await attempts(1);
    keySets.want([], new Map());
    expect(keySets.resolve().size).toBe(0);
    answer = (_req, res) => res.end(jwks("new"));
    keySets.want([uri()], new Map());
    late?.();
    await keySets.settled(5_000, never);
    expect(kids(uri())).toEqual(["new"]);
  });

  test("settled() gives up after its time", async () => {
    answer = () => undefined;
    keySets.want([uri()], new Map());
    await attempts(1);
    let done = false;
    const settled = keySets.settled(1_000, never).then(() => (done = true));
    await clock.advance(999);
    expect(done).toBe(false);
    await clock.advance(1);
    await settled;
    expect(done).toBe(true);
  });

  describe("discovery", () => {
    const discovery = (issuer = base): KeySource => ({ kind: "discovery", issuer });
    const serve =
      (document: object): RequestListener =>
      (req, res) =>
        res.end(req.url === "/jwks" ? jwks("a") : JSON.stringify(document));

    test("follows the document to the keys", async () => {
      answer = serve({ issuer: base, jwks_uri: `${base}/jwks` });
      await want(discovery());
      expect(kids(discovery())).toEqual(["a"]);
      expect(requests).toEqual(["/.well-known/openid-configuration", "/jwks"]);
    });

    test("removes one trailing slash of the issuer, and compares with it", async () => {
      answer = serve({ issuer: `${base}/`, jwks_uri: `${base}/jwks` });
      await want(discovery(`${base}/`));
      expect(kids(discovery(`${base}/`))).toEqual(["a"]);
    });

    test.each<[string, (url: string) => object, RegExp]>([
      ["is of another issuer", () => ({ issuer: "https://evil.example" }), /of issuer "https:/],
      ["differs by a slash", (url) => ({ issuer: `${url}/` }), /required is "http:/],
      ["names no issuer", () => ({}), /of issuer \(none\)/],
      ["names no keys", (url) => ({ issuer: url }), /"jwks_uri" is missing/],
      [
        "points to the metadata service",
        (url) => ({ issuer: url, jwks_uri: "http://169.254.169.254/jwks" }),
        /link-local, metadata/,
      ],
      [
        "points to plain http elsewhere",
        (url) => ({ issuer: url, jwks_uri: "http://keys.example.com/jwks" }),
        /plain http is accepted on loopback only/,
      ],
    ])("refuses a document that %s", async (_title, document, reason) => {
      answer = serve(document(base));
      await want(discovery());
      const found = resolution(discovery());
      expect(found?.kind === "unavailable" ? found.reason : "").toMatch(reason);
    });
  });

  describe("Secrets and ConfigMaps", () => {
    const secret: KeySource = { kind: "secret", namespace: "shop", name: "keys", key: "jwks" };
    const id = keySourceId(secret);

    test("are read from their material", () => {
      keySets.want([secret], new Map([[id, { kind: "text", text: jwks("s") }]]));
      expect(kids(secret)).toEqual(["s"]);
    });

    test("are pending until they were read", () => {
      keySets.want([secret], new Map());
      expect(resolution(secret)).toEqual({
        kind: "unavailable",
        reason: `Secret shop/keys: ${KEYS_PENDING}`,
      });
    });

    test("are unavailable when they are gone: that was somebody's will, so nothing is kept", () => {
      keySets.want([secret], new Map([[id, { kind: "text", text: jwks("s") }]]));
      keySets.want([secret], new Map([[id, { kind: "unavailable", reason: "it is gone" }]]));
      expect(resolution(secret)).toEqual({ kind: "unavailable", reason: "it is gone" });
    });

    test("are never quoted", () => {
      keySets.want([secret], new Map([[id, { kind: "text", text: "hunter2" }]]));
      expect(resolution(secret)).toMatchObject({ kind: "unavailable" });
      expect(JSON.stringify(resolution(secret))).not.toContain("hunter2");
    });
  });
});
