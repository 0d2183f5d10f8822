/** A bounded load over keep-alive connections, one request in flight on each; every answer's time and status. */
import { Agent, get } from "node:http";

export interface LoadResult {
  readonly statuses: ReadonlyMap<number, number>;
  readonly latenciesMs: readonly number[];
  readonly seconds: number;
}

export async function load(options: {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly requests: number;
  readonly connections: number;
}): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: options.connections });
  const statuses = new Map<number, number>();
  const latenciesMs: number[] = [];
  let left = options.requests;
  const began = performance.now();
  const connection = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const start = performance.now();
      const status = await once({ ...options, agent });
      latenciesMs.push(performance.now() - start);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: options.connections }, connection));
  agent.destroy();
  return { statuses, latenciesMs, seconds: (performance.now() - began) / 1_000 };
}

export function once(options: {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent?: Agent;
}): Promise<number> {
  return new Promise((resolve, reject) => {
    const { agent, port, path, headers } = options;
    get({ host: "127.0.0.1", port, path, headers, agent }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode ?? 0));
      answer.on("error", reject);
    }).on("error", reject);
  });
}
