/**
 * Attacks as data: raw bytes against the real data path, in front of a real upstream that keeps every byte it
 * gets. `upstream: untouched` is the point: a refusal that the application has seen is none. The tables hold
 * rows that must pass, too, so that refusing everything does not pass for safety.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { Bundle } from "../../policy/bundle.ts";
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
import { attackPolicy, proxyHeaderPolicy, transportPolicy } from "./policy.ts";
import { attackFamilies, fill } from "./rows.ts";
import { attackTokens } from "./tokens.ts";

const HEADERS_MS = 300;
const PING = "GET /ping HTTP/1.1\r\nHost: api.example\r\n\r\n";
/** Families with a policy of their own, and a request that it lets through on an open connection. */
const STANDS: Readonly<Record<string, { readonly policy: () => Bundle; readonly ping: string }>> = {
  transport: {
    policy: transportPolicy,
    ping: PING.replace(/\r\n$/, "X-Forwarded-For: 10.1.1.1, 10.0.0.1\r\n\r\n"),
  },
  "transport-proxy": { policy: proxyHeaderPolicy, ping: PING },
};

const families = attackFamilies();
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
    const { policy, ping } = STANDS[family] ?? {
      policy: () => attackPolicy(tokens.jwks),
      ping: PING,
    };

    beforeAll(async () => {
      const prepared = await prepare(policy());
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
      client.send(fill(row.send, tokens));
      if (row.expect.status === 0) {
        expect(await client.closed()).toBe("");
        expect(upstream.bytes).toBe("");
        return;
      }
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
        client.send(ping);
        // Where the connection itself was refused, it stays so.
        const isRefused = family === "transport-proxy" && row.expect.status !== 200;
        expect((await client.response()).status).toBe(isRefused ? row.expect.status : 200);
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

function codeOf(body: string): unknown {
  return (JSON.parse(body) as { readonly code: unknown }).code;
}
