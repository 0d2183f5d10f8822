/**
 * How long from writing a policy to the API server until every sidecar answers by it. Black box: the time of a
 * sidecar is that of the first real request which it answers by the new policy. A sidecar is asked when it
 * has swapped, so that polling two hundred of them does not compete for the two cores.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { workloadName } from "../policy/workload-name.ts";
import { waitFor } from "../test/support/wait.ts";
import type { FleetNews, FleetOrder } from "./fleet.ts";
import type { Row } from "./report.ts";
import { costOf, openLab, pod, policyPath } from "../test/support/lab.ts";
import type { Lab } from "../test/support/lab.ts";
import { quantile } from "./support/quantile.ts";

const SIZES = [1, 50, 200];
const EDITS = 20;
/** So many sidecars share a process of the fleet. */
const PER_PROCESS = 50;
const LABELS = { app: "bench" };

export async function propagation(say: (line: string) => void): Promise<readonly Row[]> {
  await using lab = await openLab();
  const rows: Row[] = [];
  for (const size of SIZES) {
    say(`propagation to ${size} sidecars, ${EDITS} edits`);
    rows.push(await measure(lab, size));
  }
  return rows;
}

async function measure(lab: Lab, size: number): Promise<Row> {
  const namespace = `bench-${size}`;
  await lab.call("POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace },
  });
  const pods = Array.from({ length: size }, (_, index) => `bench-${index}`);
  await Promise.all(
    pods.map((name) =>
      lab.call("POST", `/api/v1/namespaces/${namespace}/pods`, pod(namespace, name, LABELS)),
    ),
  );
  await lab.call("POST", policyPath(namespace), policy(namespace, false));

  const fleet = new Fleet(lab, namespace, pods);
  try {
    await fleet.serving();
    await waitFor("every sidecar refuses the operation", () => fleet.all(403), {
      withinMs: 60_000,
      everyMs: 200,
    });
    await enforced(lab, namespace, size);
    const times: number[] = [];
    const slowest: number[] = [];
    const before = costOf(lab.controller.pid);
    const began = performance.now();
    for (let edit = 0; edit < EDITS; edit += 1) {
      const open = edit % 2 === 0;
      const answered = fleet.untilAll(open ? 200 : 403);
      const start = performance.now();
      await lab.call(
        "PATCH",
        policyPath(namespace, "bench"),
        { spec: policy(namespace, open).spec },
        "application/merge-patch+json",
      );
      const each = (await answered).map((at) => at - start);
      times.push(...each);
      slowest.push(Math.max(...each));
      await enforced(lab, namespace, size);
    }
    const after = costOf(lab.controller.pid);
    const seconds = (performance.now() - began) / 1000;
    return {
      name: `apply → enforced, ${size} sidecar${size === 1 ? "" : "s"}`,
      values: {
        "p50 ms": quantile(times, 0.5),
        "p99 ms": quantile(times, 0.99),
        "max ms": Math.max(...times),
        "all enforce, p50 ms": quantile(slowest, 0.5),
        "controller CPU ms per edit": ((after.cpuSeconds - before.cpuSeconds) * 1000) / EDITS,
        "controller MiB": after.residentMiB,
        "edits per second": EDITS / seconds,
      },
    };
  } finally {
    await fleet.stop();
  }
}

/** With its one rule or without: the same request is answered by the application, or refused. */
function policy(namespace: string, open: boolean): { readonly spec: unknown } {
  const declared = open ? "/probe" : "/elsewhere";
  return {
    apiVersion: "postern.dev/v1alpha1",
    kind: "ApiSecurityPolicy",
    metadata: { name: "bench", namespace },
    spec: {
      selector: { matchLabels: LABELS },
      operations: {
        undeclared: "Deny",
        rules: [{ name: "probe", methods: ["GET"], path: declared }],
      },
    },
  } as { readonly spec: unknown };
}

/** The status must tell it, too. */
async function enforced(lab: Lab, namespace: string, size: number): Promise<void> {
  await waitFor(
    `the status says ${size}/${size}`,
    async () => {
      const object = (await lab.call("GET", policyPath(namespace, "bench"))) as {
        readonly metadata: { readonly generation: number };
        readonly status?: {
          readonly observedGeneration: number;
          readonly sidecars: string;
          readonly conditions: readonly { readonly type: string; readonly status: string }[];
        };
      };
      return (
        object.status?.observedGeneration === object.metadata.generation &&
        object.status.sidecars === `${size}/${size}` &&
        object.status.conditions.some(
          ({ type, status }) => type === "Enforced" && status === "True",
        )
      );
    },
    { withinMs: 60_000, everyMs: 100 },
  );
}

class Fleet {
  readonly #children: ChildProcess[] = [];
  readonly #ports = new Map<string, number>();
  readonly #agent = new Agent({ keepAlive: true });
  readonly #size: number;
  #onSwap: ((pod: string) => void) | undefined;

  constructor(lab: Lab, namespace: string, pods: readonly string[]) {
    this.#size = pods.length;
    for (let from = 0; from < pods.length; from += PER_PROCESS) {
      const order: FleetOrder = {
        namespace,
        workload: workloadName(LABELS),
        pods: pods.slice(from, from + PER_PROCESS),
        natsUrl: lab.nats.url,
        keysFile: lab.keysFile,
      };
      const child = fork(join(import.meta.dirname, "fleet.ts"), [JSON.stringify(order)], {
        execArgv: ["--disable-warning=ExperimentalWarning"],
      });
      child.on("message", (news: FleetNews) => {
        if (news.kind === "serving") this.#ports.set(news.pod, news.port);
        else this.#onSwap?.(news.pod);
      });
      this.#children.push(child);
    }
  }

  async serving(): Promise<void> {
    await waitFor(
      "every sidecar listens",
      () => {
        if (this.#children.some(({ exitCode }) => exitCode !== null)) {
          throw new Error("A process of the fleet has ended");
        }
        return this.#ports.size === this.#size;
      },
      { withinMs: 120_000, everyMs: 50 },
    );
  }

  async all(status: number): Promise<boolean> {
    const statuses = await Promise.all([...this.#ports.values()].map((port) => this.#ask(port)));
    return statuses.every((one) => one === status);
  }

  /** When each sidecar first answered with `status`, on the clock of `performance.now()`. */
  untilAll(status: number): Promise<readonly number[]> {
    const answered = new Map<string, number>();
    const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>();
    const late = setTimeout(
      () => reject(new Error(`Only ${answered.size} of ${this.#size} sidecars enforce after 60 s`)),
      60_000,
    );
    this.#onSwap = (name) => {
      if (answered.has(name)) return;
      this.#ask(this.#ports.get(name) ?? 0).then((given) => {
        if (given !== status || answered.has(name)) return;
        answered.set(name, performance.now());
        if (answered.size === this.#size) resolve([...answered.values()]);
      }, reject);
    };
    return promise.finally(() => {
      clearTimeout(late);
      this.#onSwap = undefined;
    });
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    await Promise.all(
      this.#children.map(async (child) => {
        const gone = once(child, "exit");
        child.kill("SIGKILL");
        await gone;
      }),
    );
  }

  #ask(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      get({ host: "127.0.0.1", port, path: "/probe", agent: this.#agent }, (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      }).on("error", reject);
    });
  }
}
