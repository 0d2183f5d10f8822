/** `postern run` under load: what is saved is enforced, nothing is dropped, and nobody is cut off at the end. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Agent, type Server, createServer, request } from "node:http";
import { request as secureRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { exampleJwks, exampleToken } from "../../examples/token.mjs";
import { tlsFolder } from "../support/acceptor.ts";
import { authority } from "../support/certificates.ts";
import { ROOT, type Running, runCli, startCli } from "../support/cli.ts";
import { waitFor } from "../support/wait.ts";

const POLICY = readFileSync(join(ROOT, "examples/orders-api/policy.yaml"), "utf8");
const TOKEN = exampleToken({ aud: "orders", scope: "orders:read" });
/** With it, the reader's scope does not suffice any more. */
const STRICT = POLICY.replaceAll("any: [orders:read, orders:write]", "all: [orders:write]");
const RELOAD_WITHIN_MS = 500;

interface Answer {
  readonly status: number;
  readonly body: string;
}

let folder = "";
let policy = "";
let upstream: Server;
let postern: Running | undefined;
/** Requests that the service holds until the test lets them go. */
let held: (() => void)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-run-test-"));
  policy = join(folder, "policy.yaml");
  held = [];
  upstream = createServer((incoming, response) => {
    incoming.resume();
    const answer = (): void => void response.end("from the service");
    if (incoming.url === "/orders/slow") held.push(answer);
    else answer();
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  await postern?.stop();
  postern = undefined;
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

async function start(
  path = policy,
  stdin?: string,
  more: readonly string[] = [],
): Promise<{ port: number; admin: number; running: Running }> {
  const { port } = upstream.address() as AddressInfo;
  const running = startCli(
    `run -f ${path} --upstream http://127.0.0.1:${port} --listen 127.0.0.1:0 --admin 127.0.0.1:0`
      .split(" ")
      .concat(more),
    stdin === undefined ? {} : { stdin },
  );
  postern = running;
  const said = await running.says(
    /serves on https?:\/\/127\.0\.0\.1:(\d+) .*admin on http:\/\/127\.0\.0\.1:(\d+)/,
  );
  return { port: Number(said[1]), admin: Number(said[2]), running };
}

function ask(port: number, path = "/orders/1", agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const outgoing = request({ port, path, headers, agent: agent ?? false, host: "127.0.0.1" });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString("utf8");
      });
      response.once("error", reject);
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    outgoing.end();
  });
}

/** Callers that ask again and again over their own connections, until stopped. */
function load(port: number, callers: number) {
  const answers = new Map<string, number>();
  const over = new AbortController();
  const agent = new Agent({ keepAlive: true, maxSockets: callers });
  const loops = Array.from({ length: callers }, async () => {
    while (!over.signal.aborted) {
      const outcome = await ask(port, "/orders/1", agent).then(
        ({ status }) => String(status),
        (error: Error) => `dropped: ${error.message}`,
      );
      answers.set(outcome, (answers.get(outcome) ?? 0) + 1);
    }
  });
  return {
    answers,
    stop: async () => {
      over.abort();
      await Promise.all(loops);
      agent.destroy();
      return answers;
    },
  };
}

describe("postern run", () => {
  test("says once, on one line, what it enforces and where", async () => {
    writeFileSync(policy, POLICY);
    const { running, port } = await start();
    expect((await ask(port)).status).toBe(200);
    const { stderr, exitCode } = await running.stop();
    expect(stderr.split("\n").filter((line) => line.includes("serves on"))).toEqual([
      expect.stringMatching(
        /^postern: enforces orders and serves on http:\/\/127\.0\.0\.1:\d+ for http/,
      ),
    ]);
    expect(exitCode).toBe(0);
  });

  test.each([
    ["writing over it", (text: string) => writeFileSync(policy, text)],
    [
      "renaming another file over it",
      (text: string) => {
        writeFileSync(`${policy}.new`, text);
        renameSync(`${policy}.new`, policy);
      },
    ],
  ])("enforces a save within 500 ms and drops no request: %s", async (_, save) => {
    writeFileSync(policy, POLICY);
    const { port, running } = await start();
    const traffic = load(port, 8);
    await waitFor("traffic", () => (traffic.answers.get("200") ?? 0) > 50);
    for (const [text, status] of [
      [STRICT, 403],
      [POLICY, 200],
      [STRICT, 403],
    ] as const) {
      const saved = performance.now();
      save(text);
      await waitFor(`answer ${status}`, async () => (await ask(port)).status === status);
      expect(performance.now() - saved).toBeLessThan(RELOAD_WITHIN_MS);
    }
    const answers = await traffic.stop();
    expect([...answers.keys()].sort()).toEqual(["200", "403"]);
    await running.says(/reloaded: enforces orders/);
  });

  test("a broken save changes nothing and is told by its field", async () => {
    writeFileSync(policy, POLICY);
    const { port, admin, running } = await start();
    const traffic = load(port, 4);
    writeFileSync(policy, STRICT.replace("undeclared:", "undeclred:"));
    await running.says(
      /policy\.yaml:27:5: error: unknown field "spec\.operations\.undeclred"; did you mean "undeclared"\?/,
    );
    await running.says(/nothing changed: the policy from before stays in force/);
    const shown = await ask(admin, "/debug/bundle");
    expect(JSON.parse(shown.body)).toMatchObject({
      state: "current",
      refused: { code: "bundle.malformed", detail: expect.stringContaining("undeclred") },
    });
    expect([...(await traffic.stop()).keys()]).toEqual(["200"]);
    writeFileSync(policy, STRICT);
    await waitFor("the corrected policy", async () => (await ask(port)).status === 403);
  });

  test("a policy file that goes away changes nothing", async () => {
    writeFileSync(policy, POLICY);
    const { port, running } = await start();
    rmSync(policy);
    await running.says(/policy\.yaml: error: no such file or folder/);
    expect((await ask(port)).status).toBe(200);
  });

  test("SIGHUP reads again what no watch could see", async () => {
    mkdirSync(join(folder, "elsewhere"));
    const real = join(folder, "elsewhere", "real.yaml");
    writeFileSync(real, POLICY);
    symlinkSync(real, policy);
    const { port, running } = await start();
    writeFileSync(real, STRICT);
    const asked = performance.now();
    running.signal("SIGHUP");
    await waitFor("the new policy", async () => (await ask(port)).status === 403);
    expect(performance.now() - asked).toBeLessThan(RELOAD_WITHIN_MS);
  });

  test("SIGTERM lets a request in flight end, takes no new ones, and ends with 0", async () => {
    writeFileSync(policy, POLICY);
    const { port, admin, running } = await start();
    const slow = ask(port, "/orders/slow");
    await waitFor("the request at the service", () => held.length === 1);
    running.signal("SIGTERM");
    await running.says(/stopping: requests in flight may end/);
    await waitFor("not ready", async () => (await ask(admin, "/readyz")).status === 503);
    await expect(ask(port)).rejects.toThrow(/ECONNREFUSED|ECONNRESET/);
    for (const release of held) release();
    expect(await slow).toEqual({ status: 200, body: "from the service" });
    expect((await running.finished).exitCode).toBe(0);
  });

  test("takes a policy from standard input, and Secrets from the same documents", async () => {
    const secret = `apiVersion: v1\nkind: Secret\nmetadata: { name: issuer, namespace: shop }\nstringData: { jwks: '${exampleJwks()}' }\n`;
    const text = POLICY.replace(/inline: .*/, "secretRef: { name: issuer, key: jwks }");
    const { port } = await start("-", `${text}---\n${secret}`);
    expect((await ask(port)).status).toBe(200);
  });

  test("fetches keys from a URL, and takes them when they come later than the start", async () => {
    let isUp = false;
    const issuer = createServer((_, response) => {
      if (!isUp) response.writeHead(503).end();
      else response.writeHead(200, { "content-type": "application/json" }).end(exampleJwks());
    });
    await new Promise<void>((resolve) => issuer.listen(0, "127.0.0.1", resolve));
    const { port: keysPort } = issuer.address() as AddressInfo;
    writeFileSync(policy, POLICY.replace(/inline: .*/, `uri: http://127.0.0.1:${keysPort}/jwks`));
    const { port, running } = await start();
    expect(running.output()).toMatch(/warning: .*no keys for provider "example".*HTTP 503/);
    const early = await ask(port);
    expect(early.status).toBe(503);
    expect(JSON.parse(early.body)).toMatchObject({ code: "authn.keys-unavailable" });
    isUp = true;
    await waitFor("the keys", async () => (await ask(port)).status === 200, { withinMs: 15_000 });
    issuer.close();
    issuer.closeAllConnections();
  });
});

describe("postern run --tls-cert", () => {
  test("serves TLS, with a new certificate as soon as the files change, and tells when it ends", async () => {
    writeFileSync(policy, POLICY);
    const ca = await authority();
    using tls = tlsFolder(await ca.issue({ dns: ["orders.example"], commonName: "first" }));
    const { cert, key } = tls.files;
    const { port, admin } = await start(policy, undefined, ["--tls-cert", cert, "--tls-key", key]);
    const subjectOf = (): Promise<{ readonly status: number; readonly subject: unknown }> =>
      new Promise((resolve, reject) => {
        const outgoing = secureRequest(
          {
            host: "127.0.0.1",
            port,
            path: "/orders/1",
            agent: false,
            servername: "orders.example",
            ca: ca.cert,
            headers: { host: "orders.example", authorization: `Bearer ${TOKEN}` },
          },
          (answer) => {
            answer.resume();
            const { subject } = (answer.socket as TLSSocket).getPeerCertificate();
            resolve({ status: answer.statusCode ?? 0, subject: subject.CN });
          },
        );
        outgoing.once("error", reject);
        outgoing.end();
      });
    expect(await subjectOf()).toEqual({ status: 200, subject: "first" });
    expect((await ask(port)).status).toBe(200);
    tls.install(await ca.issue({ dns: ["orders.example"], commonName: "second" }));
    await waitFor("the new certificate", async () => (await subjectOf()).subject === "second");
    const metrics = (await ask(admin, "/metrics")).body;
    const end = /^postern_tls_certificate_not_after_timestamp_seconds (\d+)$/m.exec(metrics)?.[1];
    expect(Math.abs(Number(end) - Date.now() / 1000 - 3600)).toBeLessThan(60);
  });

  test("does not start with files that do not fit, and names the file", async () => {
    writeFileSync(policy, POLICY);
    const ca = await authority();
    using tls = tlsFolder(await ca.issue());
    tls.write("key", (await ca.issue()).key);
    const line =
      `run -f ${policy} --upstream http://127.0.0.1:1 --listen 127.0.0.1:0 --admin 127.0.0.1:0 ` +
      `--tls-cert ${tls.files.cert} --tls-key ${tls.files.key}`;
    const { exitCode, stderr } = await runCli(line.split(" "));
    expect(stderr).toContain("does not belong to the certificate in");
    expect(exitCode).toBe(1);
  });
});
