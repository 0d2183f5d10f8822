/**
 * The one upstream behind every proxy: nginx where it can be had, so that it costs next to nothing, else our own
 * responder. Both read a request's whole body before they answer.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/process.ts";
import type { ObtainedProgram } from "../parts/program.ts";
import { startDaemon } from "../support/daemon.ts";

export interface Upstream extends AsyncDisposable {
  readonly by: string;
  readonly port: number;
}

export const ANSWER = JSON.stringify({
  id: "1",
  items: ["a", "b"],
  total: "12.50",
  currency: "EUR",
  ok: true,
});
/** `/orders/answer-64k` is so long. */
export const ANSWERS_KIB = [1, 64, 1_024];

export async function startUpstream(nginx: ObtainedProgram, folder: string): Promise<Upstream> {
  const home = join(folder, "upstream");
  mkdirSync(join(home, "files", "orders"), { recursive: true });
  for (const kib of ANSWERS_KIB) {
    writeFileSync(join(home, "files", "orders", `answer-${kib}k`), Buffer.alloc(kib * 1_024, "x"));
  }
  if (nginx.kind === "missing") {
    const child = fork(join(import.meta.dirname, "responder.ts"), {
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    const [port] = (await once(child, "message")) as [number];
    return {
      by: "the bench's own responder",
      port,
      [Symbol.asyncDispose]: async () => void child.kill("SIGKILL"),
    };
  }
  const port = await freePort();
  const inner = join(home, "inner.sock");
  writeFileSync(
    join(home, "nginx.conf"),
    nginxConfig(
      home,
      `
  server {
    listen 127.0.0.1:${port} backlog=4096;
    default_type application/json;
    root ${join(home, "files")};
    location / { return 200 '${ANSWER}'; }
    location /orders/answer- { }
    # The body is read whole, and then dropped: an answer before its end would be another test.
    location = /orders/upload {
      client_body_buffer_size 2m;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_pass http://unix:${inner}:;
    }
  }
  server {
    listen unix:${inner};
    default_type application/json;
    location / { return 200 '${ANSWER}'; }
  }`,
    ),
  );
  const daemon = startDaemon(nginx.path, nginxArguments(home), nginx.env);
  return { by: `nginx ${nginx.version}`, port, [Symbol.asyncDispose]: daemon[Symbol.asyncDispose] };
}

export function nginxArguments(home: string): readonly string[] {
  return ["-p", home, "-c", join(home, "nginx.conf"), "-e", "stderr"];
}

/** One process, nothing logged, connections kept for good, and no path outside of `home`. */
export function nginxConfig(home: string, servers: string): string {
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${join(home, "nginx.pid")};
error_log stderr error;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 0;
${places.map((place) => `  ${place}_temp_path ${join(home, place)};`).join("\n")}
${servers}
}
`;
}
