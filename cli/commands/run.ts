/**
 * `postern run`: one sidecar from files, in this process. People read standard error; standard output is the
 * log, one JSON object per line, with a record of every decision.
 */
import { once } from "node:events";
import { systemClock } from "../../runtime/clock.ts";
import { type LogLevel, createLog } from "../../runtime/log.ts";
import type { TlsFiles } from "../../sidecar/connection/tls-files.ts";
import { startSidecar } from "../../sidecar/sidecar.ts";
import { VERSION } from "../../sidecar/version.ts";
import { addressText, parseAddress, parseUpstream } from "../address.ts";
import { FILE_WORKLOAD, type Loaded } from "../files/load.ts";
import { hasErrors, problemText } from "../files/problem.ts";
import { DONE, type Io, PROBLEM, UsageError } from "../io.ts";
import { openPolicyFeed } from "../run/policy-feed.ts";

export interface RunOptions {
  readonly file: readonly string[];
  readonly upstream: string;
  readonly listen: string;
  readonly admin: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly logLevel: LogLevel;
}

/** Files are their own source of truth: what they say does not grow old. A hundred years. */
const NEVER_STALE_MS = 100 * 365 * 24 * 3_600_000;

export async function runCommand(options: RunOptions, io: Io): Promise<number> {
  const listen = parseAddress(options.listen, "--listen");
  const admin = parseAddress(options.admin, "--admin");
  const upstream = parseUpstream(options.upstream, "--upstream");
  const tls = tlsFiles(options);
  const clock = systemClock;
  const log = createLog({ level: options.logLevel, clock, write: io.out });
  const say = (line: string): void => io.err(`postern: ${line}\n`);
  let isServing = false;

  const onLoaded = (loaded: Loaded): void => {
    for (const problem of loaded.problems) io.err(`${problemText(problem)}\n`);
    if (isServing && hasErrors(loaded.problems)) {
      say("nothing changed: the policy from before stays in force until this is corrected");
    }
  };

  await using opening = new AsyncDisposableStack();
  const feed = opening.use(
    openPolicyFeed({ paths: options.file, readStdin: io.readStdin, clock, log, onLoaded }),
  );
  // Before anybody can know that we are there: without a listener, SIGHUP ends a process.
  io.onHangup(() => feed.source.reload());
  const first = await feed.first(io.signal);
  if (hasErrors(first.problems)) {
    say(
      "not started, since a policy is wrong, see above; postern lint checks files without starting",
    );
    return PROBLEM;
  }
  const sidecar = opening.use(
    await startSidecar({
      workload: FILE_WORKLOAD,
      pod: "postern-run",
      version: VERSION,
      feed: { kind: "source", source: feed.source },
      listen,
      upstream,
      admin,
      ...(tls !== undefined && { tls }),
      clock,
      log,
      maxStaleMs: NEVER_STALE_MS,
    }),
  );
  await sidecar.whenReady(io.signal);
  const enforced = (): string => {
    const { state } = sidecar.store;
    const policies = state.kind === "waiting" ? [] : state.bundle.policies;
    return policies.map(({ name }) => name).join(", ");
  };
  say(
    `enforces ${enforced()} and serves on ${tls === undefined ? "http" : "https"}://${addressText(sidecar.address)} ` +
      `for ${options.upstream}; admin on http://${addressText(sidecar.adminAddress ?? admin)}`,
  );
  isServing = true;
  let digest = digestIn(sidecar.store.state);
  sidecar.store.onChange(() => {
    const now = digestIn(sidecar.store.state);
    if (now === digest) return;
    digest = now;
    say(`reloaded: enforces ${enforced()}`);
  });
  if (!io.signal.aborted) await once(io.signal, "abort");
  say("stopping: requests in flight may end");
  await sidecar.close();
  return DONE;
}

function tlsFiles({ tlsCert, tlsKey, tlsClientCa }: RunOptions): TlsFiles | undefined {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key: one is useless without the other");
  }
  if (tlsCert === undefined || tlsKey === undefined) {
    if (tlsClientCa === undefined) return undefined;
    throw new UsageError("--tls-client-ca needs --tls-cert and --tls-key");
  }
  return {
    cert: tlsCert,
    key: tlsKey,
    ...(tlsClientCa !== undefined && { clientCa: tlsClientCa }),
  };
}

type StoreState = Awaited<ReturnType<typeof startSidecar>>["store"]["state"];

function digestIn(state: StoreState): string | undefined {
  return state.kind === "waiting" ? undefined : state.bundle.digest;
}
