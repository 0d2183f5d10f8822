/**
 * What we compare with, each as one process that talks to the same upstream and keeps connections both ways. Their
 * settings are those of their own documentation; none writes an access log, which we do.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/process.ts";
import { waitFor } from "../../test/support/wait.ts";
import { obtainProgram } from "../parts/program.ts";
import type { ObtainedProgram } from "../parts/program.ts";
import { PROGRAMS } from "../parts/programs.ts";
import type { ProgramName } from "../parts/programs.ts";
import { startDaemon } from "../support/daemon.ts";
import type { Daemon } from "../support/daemon.ts";
import { once as ask } from "../support/load.ts";
import { envoyConfig } from "./envoy.ts";
import { haproxyConfig } from "./haproxy.ts";
import { nginxArguments, nginxConfig } from "./upstream.ts";
import type { Identity } from "./work.ts";

export interface Subject extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  /** Verifies tokens. The others let everything through. */
  readonly verifies: boolean;
  /** A variant of another one: only measured where it may differ from it, in the works on tokens. */
  readonly variant: boolean;
  /** Gets faster while it runs, and has to run before it is measured. */
  readonly warms: boolean;
}

export interface Site {
  readonly folder: string;
  readonly upstreamPort: number;
  readonly identity: Identity;
  /** The programs of others, by name. */
  readonly programs: Readonly<Record<ProgramName, ObtainedProgram>>;
}

export type PeerName = keyof typeof PEERS;

interface Peer {
  readonly title: string;
  readonly verifies: boolean;
  readonly variant?: boolean;
  readonly warms?: boolean;
  readonly start: (site: Site, name: string) => Promise<Started | undefined>;
}

interface Started {
  readonly pid: number;
  readonly port: number;
  /** Resolves with the end of its output. */
  stop(): Promise<string>;
}

export const PEERS = {
  nginx: { title: "nginx, proxy_pass", verifies: false, start: startNginx },
  haproxy: {
    title: "HAProxy, plain",
    verifies: false,
    start: (site, name) => startHaproxy(site, name, false),
  },
  "haproxy-jwt": {
    title: "HAProxy, jwt_verify",
    verifies: true,
    start: (site, name) => startHaproxy(site, name, true),
  },
  envoy: {
    title: "Envoy, jwt_authn + rbac",
    verifies: true,
    start: (site, name) => startEnvoy(site, name, false),
  },
  "envoy-cache": {
    title: "Envoy, the same with its JWT cache",
    verifies: true,
    variant: true,
    start: (site, name) => startEnvoy(site, name, true),
  },
  gateway: {
    title: "@fastify/http-proxy",
    verifies: false,
    warms: true,
    start: (site) => startNode("bench/request/gateway.ts", site),
  },
  plain: {
    title: "node:http proxy",
    verifies: false,
    variant: true,
    warms: true,
    start: (site) => startNode("bench/plain-proxy.ts", site),
  },
} as const satisfies Readonly<Record<string, Peer>>;

const ROOT = join(import.meta.dirname, "..", "..");

export async function obtainPrograms(report: (line: string) => void): Promise<Site["programs"]> {
  const found: [string, ObtainedProgram][] = [];
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const obtained = await obtainProgram(program, {
      env: process.env,
      report,
      signal: AbortSignal.timeout(120_000),
    });
    if (obtained.kind === "missing") report(`left out: ${obtained.reason}`);
    found.push([name, obtained]);
  }
  return Object.fromEntries(found) as Record<ProgramName, ObtainedProgram>;
}

/** undefined: its program cannot be had. Serves requests when it resolves. */
export async function startPeer(name: PeerName, site: Site): Promise<Subject | undefined> {
  const peer: Peer = PEERS[name];
  const started = await peer.start(site, name);
  if (started === undefined) return undefined;
  const { pid, port } = started;
  try {
    await serves(peer, port, site.identity);
  } catch (error) {
    throw new Error(`${peer.title} does not serve: ${await started.stop()}`, { cause: error });
  }
  return {
    name: titleOf(name, site),
    pid,
    port,
    verifies: peer.verifies,
    variant: peer.variant ?? false,
    warms: peer.warms ?? false,
    [Symbol.asyncDispose]: async () => void (await started.stop()),
  };
}

/** With the version, where it is a program of its own. */
export function titleOf(name: PeerName, site: Site): string {
  const { title } = PEERS[name];
  const [program, ...rest] = title.split(", ");
  const obtained = programOf(name, site);
  if (obtained?.kind !== "found") return title;
  return `${program} ${obtained.version}, ${rest.join(", ")}`;
}

/** undefined: the peer is a script of ours. */
export function programOf(name: PeerName, { programs }: Site): ObtainedProgram | undefined {
  const [program = ""] = name.split("-");
  return Object.hasOwn(programs, program) ? programs[program as ProgramName] : undefined;
}

/** Resolves when it forwards a good request; throws when it also forwards what it claims to refuse. */
export async function serves(
  who: { readonly title: string; readonly verifies: boolean },
  port: number,
  { tokens }: Identity,
): Promise<void> {
  const token = tokens[0] ?? "";
  const get = (bearer: string): Promise<number> =>
    ask({ port, path: "/orders/1", headers: { authorization: `Bearer ${bearer}` } });
  await waitFor(`${who.title} serves requests`, () =>
    get(token).then(
      (status) => status === 200,
      () => false,
    ),
  );
  const signature = token.lastIndexOf(".") + 1;
  const forged = `${token.slice(0, signature)}${token.slice(signature).split("").reverse().join("")}`;
  const status = await get(forged);
  if (who.verifies && status !== 401) {
    throw new Error(`${who.title} answers a forged token with ${status}: it verifies nothing`);
  }
}

async function startNginx(site: Site, name: string): Promise<Started | undefined> {
  const { nginx } = site.programs;
  if (nginx.kind === "missing") return undefined;
  const home = homeOf(site, name);
  const port = await freePort();
  writeFileSync(
    join(home, "nginx.conf"),
    nginxConfig(
      home,
      `
  upstream application { server 127.0.0.1:${site.upstreamPort}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_request_buffering off;
    }
  }`,
    ),
  );
  return withPort(startDaemon(nginx.path, nginxArguments(home), nginx.env), port);
}

async function startHaproxy(
  site: Site,
  name: string,
  verifies: boolean,
): Promise<Started | undefined> {
  const { haproxy } = site.programs;
  if (haproxy.kind === "missing") return undefined;
  const home = homeOf(site, name);
  const port = await freePort();
  const { upstreamPort, identity } = site;
  writeFileSync(join(home, "key.pem"), identity.publicPem);
  writeFileSync(
    join(home, "haproxy.cfg"),
    haproxyConfig({
      port,
      upstreamPort,
      ...(verifies && { issuer: identity.issuer, keyFile: join(home, "key.pem") }),
    }),
  );
  const args = ["-db", "-f", join(home, "haproxy.cfg")];
  return withPort(startDaemon(haproxy.path, args, haproxy.env), port);
}

async function startEnvoy(site: Site, name: string, cache: boolean): Promise<Started | undefined> {
  const { envoy } = site.programs;
  if (envoy.kind === "missing") return undefined;
  const home = homeOf(site, name);
  const port = await freePort();
  const config = envoyConfig({ ...site, port, cache });
  writeFileSync(join(home, "envoy.json"), JSON.stringify(config));
  // prettier-ignore
  const args = ["-c", join(home, "envoy.json"), "--concurrency", "1", "--disable-hot-restart", "-l", "error"];
  return withPort(startDaemon(envoy.path, args, envoy.env), port);
}

async function startNode(file: string, site: Site): Promise<Started> {
  const child = fork(join(ROOT, file), [String(site.upstreamPort)], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  const [port] = (await once(child, "message")) as [number];
  return {
    pid: child.pid ?? 0,
    port,
    stop: async () => {
      child.kill("SIGKILL");
      return "";
    },
  };
}

function withPort(daemon: Daemon, port: number): Started {
  return { pid: daemon.pid, port, stop: () => daemon.stop() };
}

function homeOf(site: Site, name: string): string {
  const home = join(site.folder, name);
  mkdirSync(home, { recursive: true });
  return home;
}
