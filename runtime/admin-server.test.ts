import { request } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { jsonAnswer, openAdminServer } from "./admin-server.ts";
import type { AdminServer } from "./admin-server.ts";
import { silentLog } from "./log.ts";
import { processMetrics } from "./process-metrics.ts";

interface Answer {
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

function ask(port: number, method: string, path: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { port, host: "127.0.0.1", method, path, agent: false },
      (incoming) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        incoming.on("end", () =>
          resolve({ status: incoming.statusCode, headers: incoming.headers, body: text }),
        );
      },
    );
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}

describe("openAdminServer()", () => {
  let reasons: string[];
  let server: AdminServer;
  beforeEach(async () => {
    reasons = [];
    server = await openAdminServer({
      listen: { host: "127.0.0.1", port: 0 },
      log: silentLog,
      ready: () => reasons,
      metrics: () => "postern_up 1\n",
      routes: {
        "/debug/x": () => jsonAnswer({ x: 1 }),
        "/debug/broken": () => {
          throw new Error("secret inside");
        },
      },
    });
  });
  afterEach(() => server.close());

  test("is alive", async () => {
    expect((await ask(server.address.port, "GET", "/livez")).status).toBe(200);
  });

  test("is ready without reasons, and says every reason why not", async () => {
    expect((await ask(server.address.port, "GET", "/readyz")).status).toBe(200);
    reasons = ["no verified policy yet", "draining"];
    const answer = await ask(server.address.port, "GET", "/readyz?verbose");
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toEqual({ ready: false, reasons });
  });

  test("serves metrics and the given routes", async () => {
    const metrics = await ask(server.address.port, "GET", "/metrics");
    expect([metrics.status, metrics.body]).toEqual([200, "postern_up 1\n"]);
    expect(metrics.headers["content-type"]).toContain("version=0.0.4");
    expect(JSON.parse((await ask(server.address.port, "GET", "/debug/x")).body)).toEqual({ x: 1 });
  });

  test("answers HEAD without a body", async () => {
    const answer = await ask(server.address.port, "HEAD", "/metrics");
    expect([answer.status, answer.body, answer.headers["content-length"]]).toEqual([200, "", "13"]);
  });

  test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("refuses %s", async (method) => {
    const answer = await ask(server.address.port, method, "/livez");
    expect([answer.status, answer.headers["allow"]]).toEqual([405, "GET, HEAD"]);
  });

  test("refuses a body with its method", async () => {
    expect((await ask(server.address.port, "POST", "/livez", "body")).status).toBe(405);
  });

  test("does not know other paths, and names those that it knows", async () => {
    for (const path of ["/", "/LIVEZ", "/livez/", "/debug/../livez", "/__proto__"]) {
      expect((await ask(server.address.port, "GET", path)).status).toBe(404);
    }
    expect((await ask(server.address.port, "GET", "/")).body).toContain("/debug/x");
  });

  test("says nothing of why a route failed", async () => {
    const answer = await ask(server.address.port, "GET", "/debug/broken");
    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain("secret inside");
  });

  test("says with a code that the port is taken", async () => {
    const listen = { host: "127.0.0.1", port: server.address.port };
    const opening = openAdminServer({ listen, log: silentLog, ready: () => [], metrics: () => "" });
    await expect(opening).rejects.toMatchObject({ code: "listen.failed" });
  });

  test("closes twice without harm", async () => {
    await Promise.all([server.close(), server.close()]);
  });
});

describe("processMetrics()", () => {
  test("writes Prometheus text with a HELP and TYPE for each name", () => {
    using metrics = processMetrics();
    const text = metrics.render();
    const names = [...text.matchAll(/^# TYPE (\S+) (?:gauge|counter)$/gm)].map((m) => m[1]);
    expect(names).toEqual([
      "process_resident_memory_bytes",
      "process_cpu_seconds_total",
      "process_uptime_seconds",
      "nodejs_heap_used_bytes",
      "nodejs_eventloop_delay_p99_seconds",
    ]);
    for (const name of names) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} .+$`, "m"));
      const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
      expect(Number(value)).toBeGreaterThanOrEqual(0);
      expect(Number.isFinite(Number(value))).toBe(true);
    }
  });
});
