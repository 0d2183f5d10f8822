/** `npm run bench [-- NAME…]`: measures, and writes docs/performance.md. Never part of the tests: figures depend on the machine. */
import { execFileSync } from "node:child_process";
import { propagation } from "./propagation.ts";
import { record } from "./report.ts";
import type { Row } from "./report.ts";
import { scale } from "./scale.ts";
import { sidecarCost } from "./sidecar-cost.ts";

interface Bench {
  readonly title: string;
  readonly method: string;
  readonly run: (say: (line: string) => void) => Promise<readonly Row[]>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  propagation: {
    title: "From apply to enforced",
    method:
      "Real kube-apiserver and etcd, real nats-server, the built controller, and sidecars with a NATS connection and a listener each, 50 to a process. Twenty edits of one policy that selects all of them. The clock starts when the edit is sent to the API server and stops, per sidecar, with the first request that it answers by the new policy. After each edit the status must say N/N.",
    run: propagation,
  },
  scale: {
    title: "A controller with 1,000 policies and 1,000 pods",
    method:
      "Real kube-apiserver and etcd, real nats-server, the built controller; a thousand workloads of one pod in ten namespaces, one policy each, no sidecars.",
    run: scale,
  },
  sidecar: {
    title: "What one sidecar costs",
    method:
      "The built sidecar as a process of its own with a bundle of 50 operations and a JWT provider. Cold start: from spawn to the first request answered by the bundle on disk, with NATS not answering. Beside it, in the same run, a plain proxy of `node:http` and `http.request` that checks nothing. One keep-alive connection after the other, 73-byte answers, tokens signed with RS256.",
    run: sidecarCost,
  },
};

const names = process.argv.slice(2);
const unknown = names.filter((name) => !Object.hasOwn(BENCHES, name));
if (unknown.length > 0) {
  process.stderr.write(
    `Unknown bench "${unknown.join('", "')}": use ${Object.keys(BENCHES).join(", ")}\n`,
  );
  process.exit(2);
}
const say = (line: string): void => {
  process.stdout.write(`bench: ${line}\n`);
};
for (const [name, bench] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const rows = await bench.run(say);
  for (const row of rows) say(`${row.name} ${JSON.stringify(row.values)}`);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const measured = new Date().toISOString().slice(0, 10);
  record({ [name]: { title: bench.title, method: bench.method, measured, commit, rows } });
}
say("docs/performance.md is written");
process.exit(0);
