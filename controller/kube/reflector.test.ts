/**
 * What a real API server does only when it is in trouble, played by a loopback server that speaks its protocol:
 * 410 Gone, a watch that goes silent or ends at once, pages, refusals. The rest is proved in test/scenarios.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { KubeConfig } from "@kubernetes/client-node";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { waitFor } from "../../test/support/wait.ts";
import { createKubeClient } from "./client.ts";
import type { KubeClient, KubeObject } from "./client.ts";
import { createReflector } from "./reflector.ts";
import type { Reflector } from "./reflector.ts";

type Play = (url: URL, res: ServerResponse, req: IncomingMessage) => void;

const object = (name: string, version = "1"): KubeObject => ({
  metadata: { name, namespace: "ns", resourceVersion: version },
});
const list = (names: readonly string[], more: object = {}): string =>
  JSON.stringify({
    metadata: { resourceVersion: "10", ...more },
    items: names.map((name) => object(name)),
  });
const event = (type: string, value: unknown): string =>
  `${JSON.stringify({ type, object: value })}\n`;

describe("createReflector()", () => {
  let server: Server;
  let client: KubeClient;
  let lists: URL[];
  let watches: URL[];
  let onList: Play;
  let onWatch: Play;
  let ending: AbortController;
  let running: Promise<void>;
  let changes: number;

  beforeEach(async () => {
    lists = [];
    watches = [];
    changes = 0;
    ending = new AbortController();
    onList = (_url, res) => res.end(list(["a"]));
    onWatch = () => undefined;
    server = createServer((req, res) => {
      const url = new URL(req.url ?? "", "http://x");
      const isWatch = url.searchParams.get("watch") === "true";
      (isWatch ? watches : lists).push(url);
      (isWatch ? onWatch : onList)(url, res, req);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: "u", token: "t" },
    );
    client = createKubeClient(config);
  });
  afterEach(async () => {
    ending.abort();
    await running;
    client.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });

  function start(
    options: { readonly watchSeconds?: number; readonly missing?: string } = {},
    transform: (object: KubeObject) => string | undefined = ({ metadata }) => metadata.name,
  ): Reflector<string> {
    const reflector = createReflector<string>({
      client,
      clock: systemClock,
      log: silentLog,
      name: "things",
      path: "/api/v1/things",
      transform,
      onChange: () => {
        changes += 1;
      },
      ...options,
    });
    running = reflector.run(ending.signal);
    return reflector;
  }

  const names = (reflector: Reflector<string>): string[] => [...reflector.items.values()].sort();
  const become = (reflector: Reflector<string>, ...wanted: readonly string[]): Promise<boolean> =>
    waitFor(`the items become ${wanted.join()}`, () => names(reflector).join() === wanted.join());

  test("lists in pages and watches from where the list was", async () => {
    onList = (url, res) =>
      res.end(
        url.searchParams.has("continue") ? list(["b"]) : list(["a"], { continue: "next page" }),
      );
    const reflector = start();
    expect(reflector.synced).toBe(false);
    await become(reflector, "a", "b");
    await waitFor("the watch", () => watches.length === 1);
    expect(reflector.synced).toBe(true);
    expect(lists.map((url) => url.searchParams.get("continue"))).toEqual([null, "next page"]);
    expect(Object.fromEntries(watches[0]?.searchParams ?? [])).toMatchObject({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: "10",
    });
    expect(changes).toBe(1);
  });

  test("follows additions, changes and deletions, and goes on from a bookmark", async () => {
    onWatch = (_url, res) => {
      if (watches.length > 1) return;
      res.write(event("ADDED", object("b", "11")) + event("DELETED", object("a", "12")));
      res.write(event("BOOKMARK", { metadata: { resourceVersion: "99" } }));
      setTimeout(() => res.destroy(), 50);
    };
    const reflector = start();
    await become(reflector, "b");
    await waitFor("the next watch", () => watches.length === 2);
    expect(watches[1]?.searchParams.get("resourceVersion")).toBe("99");
    expect(lists).toHaveLength(1);
    expect(names(reflector)).toEqual(["b"]);
  });

  test.each<[string, Play]>([
    ["as an event", (_url, res) => res.end(event("ERROR", { code: 410, message: "too old" }))],
    ["as a status", (_url, res) => res.writeHead(410).end('{"message":"too old"}')],
  ])("lists again at once after 410 Gone %s", async (_title, gone) => {
    onWatch = (url, res, req) => {
      if (watches.length === 1) gone(url, res, req);
    };
    onList = (_url, res) => res.end(list([lists.length === 1 ? "a" : "fresh"]));
    const reflector = start();
    await become(reflector, "fresh");
    expect(reflector.problem).toBeUndefined();
    expect(lists).toHaveLength(2);
  });

  test("keeps what it knows while the server fails, says so, and recovers", async () => {
    const reflector = start();
    await become(reflector, "a");
    onList = (_url, res) => res.writeHead(500).end('{"message":"etcd is away"}');
    onWatch = (_url, res) => res.writeHead(500).end('{"message":"etcd is away"}');
    server.closeAllConnections();
    await waitFor("the problem is told", () => reflector.problem?.includes("etcd is away"));
    expect(names(reflector)).toEqual(["a"]);
    onWatch = (_url, res) => res.write(event("ADDED", object("b", "11")));
    onList = (_url, res) => res.end(list(["a"]));
    await become(reflector, "a", "b");
    expect(reflector.problem).toBeUndefined();
  });

  test("a watch that ends at once is a failure, not a reason to spin", async () => {
    onWatch = (_url, res) => res.end();
    const startedAt = performance.now();
    const reflector = start();
    await waitFor("the third watch", () => watches.length === 3);
    // Half of 250 ms and half of 500 ms, at least, lie between three of them.
    expect(performance.now() - startedAt).toBeGreaterThan(370);
    expect(reflector.synced).toBe(true);
  });

  test("says what a 404 means where the resource may not exist yet, and waits for it", async () => {
    onList = (_url, res) => res.writeHead(404).end();
    const reflector = start({ missing: "the CRD is not installed" });
    await waitFor("the sentence", () => reflector.problem === "the CRD is not installed");
    expect(reflector.synced).toBe(false);
    onList = (_url, res) => res.end(list(["a"]));
    await become(reflector, "a");
  });

  test("an object that cannot be read costs nobody else anything", async () => {
    onList = (_url, res) => res.end(list(["bad", "good"]));
    const reflector = start({}, ({ metadata }) => {
      if (metadata.name === "bad") throw new Error("cannot");
      return metadata.name;
    });
    await become(reflector, "good");
  });

  test("what is no JSON ends the watch, not the process", async () => {
    onWatch = (_url, res) => {
      if (watches.length === 1) res.write("<html>\n");
    };
    const reflector = start();
    await waitFor("the next watch", () => watches.length === 2);
    expect(names(reflector)).toEqual(["a"]);
  });

  test("sends the token that the kubeconfig has", async () => {
    let seen: string | undefined;
    onList = (_url, res, req) => {
      seen = req.headers.authorization;
      res.end(list(["a"]));
    };
    await become(start(), "a");
    expect(seen).toBe("Bearer t");
  });

  test.each([
    [403, "cluster.forbidden"],
    [409, "cluster.conflict"],
    [422, "cluster.rejected"],
    [503, "cluster.unavailable"],
  ])("HTTP %d is %s, with the server's words", async (status, code) => {
    running = Promise.resolve();
    onList = (_url, res) => res.writeHead(status).end('{"message":"because"}');
    await expect(
      client.send({ method: "GET", path: "/x", signal: ending.signal }),
    ).rejects.toMatchObject({
      code,
      status,
      message: `GET /x: HTTP ${status}: because`,
    });
  });
});
