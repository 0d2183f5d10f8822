/**
 * `npm run bench [-- NAME…]`: measures, and writes docs/performance.md. Never part of the tests: figures depend on
 * the machine. `request --quick` and `request --soak MINUTES` print and write nothing.
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { micro } from "./micro/micro.ts";
import { propagation } from "./propagation.ts";
import { record, tableLines } from "./report.ts";
import type { Row, Table } from "./report.ts";
import { request } from "./request/request.ts";
import { soak } from "./request/soak.ts";
import { scale } from "./scale.ts";
import { sidecarCost } from "./sidecar-cost.ts";

interface Bench {
  readonly title: string;
  readonly method: string;
  readonly run: (say: (line: string) => void) => Promise<readonly Table[]>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  request: {
    title: "A request, beside other proxies",
    method:
      "One sidecar, one process of each peer, one upstream (nginx, a JSON answer of 73 bytes), all on the same cores and at the same time; keep-alive everywhere. Rounds are interleaved: every proxy does a work before any does it again. Postern enforces a policy of 50 operations with a JWT provider and a scope, counts metrics and writes one access record per request into a pipe; HAProxy verifies signature, issuer and expiry; Envoy also audience, path and scope; nginx, plain HAProxy and the Node proxies check nothing and write no log. CPU is what compares best: requests per second depend on what else the machine does.",
    run: (say) => request({ quick: options.quick, say }),
  },
  micro: {
    title: "Where a decision's time goes",
    method:
      "One function of the sidecar after the other in a process that does nothing else, the median of 15 batches: a GET with 7 header lines and an RS256 token of 630 characters, a policy of one layer, 50 operations unless said otherwise, a JWT provider, a scope and one identity header. To be read as shares, not as the cost of a request, most of which is sockets and the parser.",
    run: micro,
  },
  propagation: {
    title: "From apply to enforced",
    method:
      "Real kube-apiserver and etcd, real nats-server, the built controller, and sidecars with a NATS connection and a listener each, 50 to a process. Twenty edits of one policy that selects all of them. The clock starts when the edit is sent to the API server and stops, per sidecar, with the first request that it answers by the new policy. After each edit the status must say N/N.",
    run: (say) => propagation(say).then(oneTable),
  },
  scale: {
    title: "A controller with 1,000 policies and 1,000 pods",
    method:
      "Real kube-apiserver and etcd, real nats-server, the built controller; a thousand workloads of one pod in ten namespaces, one policy each, no sidecars.",
    run: (say) => scale(say).then(oneTable),
  },
  sidecar: {
    title: "What one sidecar costs",
    method:
      "The built sidecar as a process of its own with a bundle of 50 operations and a JWT provider. Cold start: from spawn to the first request answered by the bundle on disk, with NATS not answering. Beside it, in the same run, a plain proxy of `node:http` and `http.request` that checks nothing. One keep-alive connection after the other, 73-byte answers, tokens signed with RS256.",
    run: (say) => sidecarCost(say).then(oneTable),
  },
};

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, soak: { type: "string" } },
});
const unknown = names.filter((name) => !Object.hasOwn(BENCHES, name));
const minutes = Number(options.soak ?? 0);
if (unknown.length > 0) {
  stop(`Unknown bench "${unknown.join('", "')}": use ${Object.keys(BENCHES).join(", ")}`);
}
if ((options.quick || options.soak !== undefined) && names.join() !== "request") {
  stop("--quick and --soak belong to the bench request: use `npm run bench -- request --quick`");
}
if (options.soak !== undefined && !(minutes > 0 && minutes <= 600)) {
  stop(`Cannot soak for "${options.soak}" minutes: give a number from 1 to 600`);
}

const say = (line: string): void => {
  process.stdout.write(`bench: ${line}\n`);
};
if (options.soak !== undefined) process.exit((await soak(minutes, say)) ? 0 : 1);
for (const [name, bench] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const tables = await bench.run(say);
  for (const table of tables) process.stdout.write(`${tableLines(table).join("\n")}\n`);
  if (options.quick) continue;
  const measured = new Date().toISOString().slice(0, 10);
  record({
    [name]: { title: bench.title, method: bench.method, measured, commit: commit(), tables },
  });
}
if (!options.quick) say("docs/performance.md is written");
process.exit(0);

function oneTable(rows: readonly Row[]): readonly Table[] {
  return [{ rows }];
}

/** Figures of sources that nobody else can get are marked as such. */
function commit(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, { encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--", "sidecar", "runtime", "policy");
  return `${git("rev-parse", "--short", "HEAD")}${changed === "" ? "" : ", with changes"}`;
}

function stop(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
