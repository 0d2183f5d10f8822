/**
 * Load from outside the bench's process: `wrk` for throughput where it can be had, since it costs a tenth of what
 * any generator in JavaScript costs, and our own generator for fixed rates (and for everything without `wrk`).
 */
import { spawn, fork } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ObtainedProgram } from "../parts/program.ts";
import type { Order, Outcome } from "./generator.ts";
import type { Work } from "./work.ts";

export interface Throughput {
  readonly requests: number;
  readonly perSecond: number;
}

export interface Load extends Disposable {
  readonly throughputBy: string;
  /** As much as it can; throws when an answer is not what the work expects. */
  throughput(port: number, work: Work, seconds: number): Promise<Throughput>;
  /** An order for our own generator. */
  run(order: Order): Promise<Outcome>;
}

export function openLoad(wrk: ObtainedProgram, folder: string): Load {
  const generator = fork(join(import.meta.dirname, "generator.ts"), {
    serialization: "advanced",
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  const run = async (order: Order): Promise<Outcome> => {
    generator.send(order);
    const [outcome] = (await once(generator, "message")) as [Outcome];
    return outcome;
  };
  const files = new Map<Work, string>();
  const fileOf = (work: Work): string => {
    let file = files.get(work);
    if (file === undefined) {
      file = join(folder, `requests-${files.size}`);
      const parts = work.requests.flatMap((bytes) => [Buffer.from(`${bytes.length}\n`), bytes]);
      writeFileSync(file, Buffer.concat(parts));
      files.set(work, file);
    }
    return file;
  };
  return {
    throughputBy: wrk.kind === "found" ? `wrk ${wrk.version}` : "the bench's own generator",
    async throughput(port, work, seconds) {
      const result =
        wrk.kind === "found"
          ? await runWrk(wrk, { port, work, seconds, file: fileOf(work) })
          : await run({ ...work, kind: "closed", port, statuses: [work.status], seconds });
      const requests = result.answered;
      if (requests === 0) throw new Error(`"${work.name}": no answer within ${seconds} s`);
      if (result.wrong > 0) {
        throw new Error(
          `"${work.name}": ${result.wrong} of ${requests} answers are not ${work.status}`,
        );
      }
      return { requests, perSecond: requests / result.seconds };
    },
    run,
    [Symbol.dispose]: () => void generator.kill("SIGKILL"),
  };
}

interface WrkResult {
  readonly answered: number;
  readonly seconds: number;
  readonly wrong: number;
}

async function runWrk(
  wrk: ObtainedProgram & { readonly kind: "found" },
  run: {
    readonly port: number;
    readonly work: Work;
    readonly seconds: number;
    readonly file: string;
  },
): Promise<WrkResult> {
  const child = spawn(
    wrk.path,
    // prettier-ignore
    ["-t1", `-c${run.work.connections}`, `-d${Math.ceil(run.seconds)}s`, "--timeout", "10s", "-s", join(import.meta.dirname, "wrk.lua"), `http://127.0.0.1:${run.port}`, "--", run.file],
    { stdio: ["ignore", "pipe", "pipe"], env: wrk.env },
  );
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  await once(child, "close");
  const line = /^result (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`wrk gave no result: ${output}`);
  const summary = JSON.parse(line) as {
    readonly requests: number;
    readonly microseconds: number;
    readonly connect: number;
    readonly read: number;
    readonly write: number;
    readonly timeout: number;
    readonly status: number;
  };
  // wrk counts statuses above 399 as errors.
  const refused = run.work.status > 399 ? summary.requests - summary.status : summary.status;
  return {
    answered: summary.requests,
    seconds: summary.microseconds / 1e6,
    wrong: refused + summary.connect + summary.read + summary.write + summary.timeout,
  };
}
