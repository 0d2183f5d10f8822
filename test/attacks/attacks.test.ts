/**
 * Attacks as data: raw bytes against the real data path, in front of a real upstream that keeps every byte it
 * gets. `upstream: untouched` is the point: a refusal that the application has seen is none. The tables hold
 * rows that must pass, too, so that refusing everything does not pass for safety.
 */
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { DENIALS } from "../../policy/denials.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import type { DataPath } from "../../sidecar/data-path.ts";
import { createDataPath } from "../../sidecar/data-path.ts";
import { createMetrics } from "../../sidecar/metrics.ts";
import { prepare } from "../../sidecar/prepared.ts";
import { rawClient } from "../support/raw-client.ts";
import type { RecordingUpstream } from "../support/upstream.ts";
import { recordingUpstream } from "../support/upstream.ts";
import { attackPolicy, transportPolicy } from "./policy.ts";
import { attackTokens } from "./tokens.ts";

interface Row {
  readonly title: string;
  readonly why: string;
  /** Raw bytes, one character each; `{{token:name}}` and `{{repeat:text:times}}` are filled in. */
  readonly send: string;
  readonly expect: {
    readonly status: number;
    /** Of a refusal. */
    readonly code?: string;
    /** `unfinished`: it never got a whole request, so there was nothing that it could act on. */
    readonly upstream: "untouched" | "served" | "unfinished";
    readonly connection: "closed" | "open";
    /** The request line that the application got, and nothing else in its place. */
    readonly line?: string;
    /** The body's bytes that the application got, chunks included. */
    readonly body?: string;
    /** Header lines that the application got, or did not get, without regard to case. */
    readonly has?: readonly string[];
    readonly lacks?: readonly string[];
  };
}

const HEADERS_MS = 300;
const PING = "GET /ping HTTP/1.1\r\nHost: api.example\r\n\r\n";
const TRANSPORT_PING = PING.replace(/\r\n$/, "X-Forwarded-For: 10.1.1.1, 10.0.0.1\r\n\r\n");

const families = globSync("*.yaml", { cwd: import.meta.dirname })
  .sort()
  .map((file) => ({
    family: basename(file, ".yaml"),
    rows: parse(readFileSync(join(import.meta.dirname, file), "utf8")) as readonly Row[],
  }));
const tokens = attackTokens(Date.now());

let upstream: RecordingUpstream;

beforeAll(async () => {
  upstream = await recordingUpstream();
});

afterAll(async () => {
  await upstream.close();
});

beforeEach(() => {
  upstream.forget();
});

for (const { family, rows } of families) {
  describe(`${family} attacks`, () => {
    let path: DataPath;
    const isTransport = family.startsWith("transport");

    beforeAll(async () => {
      const prepared = await prepare(isTransport ? transportPolicy() : attackPolicy(tokens.jwks));
      path = createDataPath({
        current: () => prepared,
        upstream,
        log: silentLog,
        clock: systemClock,
        metrics: createMetrics(),
        record: () => undefined,
        limits: { headersMs: HEADERS_MS },
      });
      await path.listen({ host: "127.0.0.1", port: 0 });
    });

    afterAll(() => path.close());

    test.each(rows.map((row) => [row.title, row] as const))("%s", async (_title, row) => {
      await using client = await rawClient(addressOf(path));
      client.send(fill(row.send));
      const response = await client.response({ isHead: row.send.startsWith("HEAD ") });
      const problem = row.expect.code === undefined ? undefined : codeOf(response.body);
      expect({ status: response.status, code: problem }).toEqual({
        status: row.expect.status,
        code: row.expect.code,
      });
      if (row.expect.upstream === "untouched") expect(upstream.bytes).toBe("");
      else expect(upstream.requests).toHaveLength(row.expect.upstream === "served" ? 1 : 0);
      const head = upstream.requests[0]?.head ?? "";
      if (row.expect.line !== undefined) expect(head.split("\r\n", 1)[0]).toBe(row.expect.line);
      if (row.expect.body !== undefined) expect(upstream.requests[0]?.body).toBe(row.expect.body);
      const lines = head.toLowerCase().split("\r\n");
      for (const line of row.expect.has ?? []) expect(lines).toContain(line.toLowerCase());
      const names = lines.map((line) => line.split(":", 1)[0]);
      for (const name of row.expect.lacks ?? []) expect(names).not.toContain(name.toLowerCase());

      if (row.expect.connection === "closed") {
        // Nothing more: no answer to bytes that were smuggled behind the refused request.
        expect(await client.closed()).toBe("");
        if (row.expect.upstream === "untouched") expect(upstream.bytes).toBe("");
        if (row.expect.upstream === "unfinished") expect(upstream.requests).toHaveLength(0);
      } else {
        client.send(isTransport ? TRANSPORT_PING : PING);
        expect((await client.response()).status).toBe(200);
      }
    });
  });
}

describe("the tables", () => {
  const all = families.flatMap(({ rows }) => rows);

  test("have enough rows, of both kinds, each with a reason", () => {
    expect(all.length).toBeGreaterThanOrEqual(80);
    expect(all.filter((row) => row.expect.upstream === "served").length).toBeGreaterThanOrEqual(15);
    for (const row of all) expect(row.why.length).toBeGreaterThan(10);
  });

  test("name codes that exist, with their status", () => {
    for (const { title, expect: wanted } of all) {
      if (wanted.code === undefined) continue;
      const denial = DENIALS[wanted.code as keyof typeof DENIALS] as
        { readonly status: number } | undefined;
      expect({ title, status: denial?.status }).toEqual({ title, status: wanted.status });
    }
  });

  test("have one row per title", () => {
    expect(new Set(all.map(({ title }) => title)).size).toBe(all.length);
  });
});

function addressOf(dataPath: DataPath): { readonly host: string; readonly port: number } {
  const { address } = dataPath;
  if (address === undefined) throw new TypeError("Cannot attack: the data path does not listen");
  return address;
}

function fill(send: string): string {
  return send.replace(/\{\{(token|repeat):([^{}]+)\}\}/g, (_match, kind: string, rest: string) => {
    if (kind === "token") return tokens.get(rest);
    const colon = rest.lastIndexOf(":");
    return rest.slice(0, colon).repeat(Number(rest.slice(colon + 1)));
  });
}

function codeOf(body: string): unknown {
  return (JSON.parse(body) as { readonly code: unknown }).code;
}
