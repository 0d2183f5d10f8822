/** What one sidecar holds idle, how soon it enforces from disk, and what a request costs beside a proxy that checks nothing. */
import { fork } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once as event } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { createSigner, generateSigningJwk } from "../controller/sign.ts";
import { bundleKey } from "../policy/contract.ts";
import { canonicalJson, sealBundle } from "../policy/encode.ts";
import { connectNats } from "../runtime/bus/nats.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import { startNatsServer } from "../test/support/nats-server.ts";
import { freePort, startServer } from "../test/support/process.ts";
import type { ServerProcess } from "../test/support/process.ts";
import { waitFor } from "../test/support/wait.ts";
import type { Row } from "./report.ts";
import { costOf } from "../test/support/lab.ts";
import { compiledContent } from "./support/bundle.ts";
import { load, once } from "./support/load.ts";
import { quantile } from "./support/quantile.ts";

const ROOT = join(import.meta.dirname, "..");
const OPERATIONS = 50;
const ROUNDS = 3;
const REQUESTS = 20_000;
const CONNECTIONS = 32;
const SWAPS = 20;
const WORKLOAD = { namespace: "shop", name: "orders" };
const ISSUER = "https://id.example.com";
const BODY = JSON.stringify({
  id: "1",
  items: ["a", "b"],
  total: "12.50",
  currency: "EUR",
  ok: true,
});

export async function sidecarCost(say: (line: string) => void): Promise<readonly Row[]> {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const nats = opened.use(await startNatsServer());
  const upstream = createServer((_request, answer) => answer.end(BODY));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  opened.defer(() => {
    upstream.close();
    upstream.closeAllConnections();
  });
  const upstreamPort = (upstream.address() as AddressInfo).port;

  const issuer = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const token = await new SignJWT({ scope: "orders:read" })
    .setProtectedHeader({ alg: "RS256", kid: "one" })
    .setIssuer(ISSUER)
    .setAudience("orders")
    .setExpirationTime("1h")
    .sign(issuer.privateKey);
  const headers = { authorization: `Bearer ${token}` };
  const publicJwk = { ...issuer.publicKey.export({ format: "jwk" }), kid: "one" };

  const signer = createSigner(generateSigningJwk());
  const until = new AbortController();
  const bus = opened.use(
    await connectNats({
      servers: [nats.url],
      name: "bench",
      clock: systemClock,
      log: silentLog,
      signal: until.signal,
      ensureBuckets: true,
    }),
  );
  const publish = async (revision: number): Promise<void> => {
    const sealed = sealBundle(content(publicJwk, revision), { revision, issuedAtMs: Date.now() });
    await bus.bundles.put(bundleKey(WORKLOAD), signer.sign(Buffer.from(canonicalJson(sealed))));
  };
  await waitFor("the bus is connected", () => bus.state === "connected");
  await publish(1);

  const keysFile = join(folder, "keys.json");
  writeFileSync(keysFile, JSON.stringify(signer.publicJwks));
  const port = await freePort();
  const start = (): ServerProcess =>
    startServer(process.execPath, [join(ROOT, "dist", "sidecar.js")], {
      env: {
        POSTERN_UPSTREAM_URL: `http://127.0.0.1:${upstreamPort}`,
        POSTERN_LISTEN: `127.0.0.1:${port}`,
        POSTERN_ADMIN_LISTEN: "127.0.0.1:0",
        POSTERN_NATS_URL: nats.url,
        POSTERN_NAMESPACE: WORKLOAD.namespace,
        POSTERN_WORKLOAD: WORKLOAD.name,
        POSTERN_POD: "orders-0",
        POSTERN_BUNDLE_KEYS_FILE: keysFile,
        POSTERN_STATE_DIR: folder,
        POSTERN_LOG_LEVEL: "info",
      },
    });
  const answers = async (sidecar: ServerProcess): Promise<void> => {
    await waitFor(
      "the sidecar answers by its bundle",
      () => {
        if (sidecar.exited()) throw new Error(`The sidecar ended: ${sidecar.output()}`);
        return once({ port, path: "/orders/1", headers }).then(
          (status) => status === 200,
          () => false,
        );
      },
      { everyMs: 2 },
    );
  };

  say("idle memory and cold start");
  let sidecar = start();
  opened.defer(() => sidecar.stop("SIGKILL"));
  await answers(sidecar);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const idle = costOf(sidecar.pid).residentMiB;
  await sidecar.stop("SIGKILL");
  await nats.kill();
  const coldStarts: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    await sidecar.stop("SIGKILL");
    const began = performance.now();
    sidecar = start();
    await answers(sidecar);
    coldStarts.push(performance.now() - began);
  }
  await nats.start();
  await waitFor("the bus is connected again", () => bus.state === "connected");

  say("requests, beside a proxy that checks nothing");
  const plain = fork(join(ROOT, "bench", "plain-proxy.ts"), [String(upstreamPort)], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  opened.defer(() => void plain.kill("SIGKILL"));
  const [plainPort] = (await event(plain, "message")) as [number];
  const costs = { postern: [] as number[], plain: [] as number[] };
  const latencies = { postern: [] as number[], plain: [] as number[] };
  const common = { path: "/orders/1", headers, requests: REQUESTS, connections: CONNECTIONS };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, pid, at] of [
      ["postern", sidecar.pid, port],
      ["plain", plain.pid ?? 0, plainPort],
    ] as const) {
      const before = costOf(pid).cpuSeconds;
      const result = await load({ ...common, port: at });
      if (result.statuses.get(200) !== REQUESTS) {
        throw new Error(
          `${name} did not answer all with 200: ${JSON.stringify([...result.statuses])}`,
        );
      }
      if (round === 0) continue; // warm
      costs[name].push(((costOf(pid).cpuSeconds - before) / REQUESTS) * 1e6);
      latencies[name].push(...result.latenciesMs);
    }
  }
  say("policy swaps under load");
  const swapper = (async () => {
    for (let swap = 1; swap <= SWAPS; swap += 1) {
      await publish(1 + swap);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  const swapped = await load({ ...common, port });
  await swapper;
  const failed = REQUESTS - (swapped.statuses.get(200) ?? 0);

  return [
    {
      name: "sidecar",
      values: {
        "idle MiB": idle,
        [`MiB after ${((ROUNDS + 2) * REQUESTS) / 1000}k requests`]: costOf(sidecar.pid)
          .residentMiB,
        "cold start ms, p50": quantile(coldStarts, 0.5),
        "CPU µs/request": quantile(costs.postern, 0.5),
        "p50 ms": quantile(latencies.postern, 0.5),
        "p99 ms": quantile(latencies.postern, 0.99),
        "ratio to plain proxy, CPU": quantile(costs.postern, 0.5) / quantile(costs.plain, 0.5),
      },
    },
    {
      name: `sidecar, ${SWAPS} policy swaps under load, ${failed} failed`,
      values: {
        "p50 ms": quantile(swapped.latenciesMs, 0.5),
        "p99 ms": quantile(swapped.latenciesMs, 0.99),
      },
    },
    {
      name: "plain node:http proxy",
      values: {
        "CPU µs/request": quantile(costs.plain, 0.5),
        "p50 ms": quantile(latencies.plain, 0.5),
        "p99 ms": quantile(latencies.plain, 0.99),
      },
    },
  ];
}

function content(publicJwk: object, variant: number): ReturnType<typeof compiledContent> {
  const rules = Array.from({ length: OPERATIONS - 2 }, (_, index) => ({
    name: `rule-${index}`,
    methods: ["GET"],
    path: `/things-${index}/{id}`,
    scopes: { all: ["things:read"] },
  }));
  return compiledContent(WORKLOAD, {
    authentication: {
      providers: [
        {
          name: "corp",
          jwt: {
            issuer: ISSUER,
            audiences: ["orders"],
            jwks: { inline: JSON.stringify({ keys: [publicJwk] }) },
          },
        },
      ],
    },
    operations: {
      rules: [
        { name: "read", methods: ["GET"], path: "/orders/{id}", scopes: { all: ["orders:read"] } },
        { name: "variant", methods: ["GET"], path: `/variant-${variant}` },
        ...rules,
      ],
    },
  });
}
