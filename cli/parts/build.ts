/**
 * Builds a part from its pinned Go module into the cache, once. go.sum holds every module's checksum and
 * `-mod=readonly` keeps it so: the same sources on every machine. A half-written program is never seen: it
 * is built under another name, has to tell its version, and is then renamed.
 */
import { accessSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe } from "../../runtime/error.ts";
import { projectRoot } from "../project-root.ts";
import { withLock } from "./lock.ts";
import type { ObtainOptions, Part } from "./part.ts";
import { lastLines, run } from "./run.ts";
import { versionOf } from "./version.ts";

export type Built =
  | { readonly kind: "built"; readonly path: string }
  | { readonly kind: "not-built"; readonly reason: string };

export async function buildPart(
  part: Part,
  folder: string,
  options: ObtainOptions,
): Promise<Built> {
  const go = await run("go", ["version"], { ...options, timeoutMs: 20_000 });
  if (go.exitCode !== 0) return { kind: "not-built", reason: "Go is not installed" };
  const path = join(folder, part.name);
  try {
    mkdirSync(folder, { recursive: true });
    return await withLock(
      `${path}.lock`,
      options.signal,
      () => options.report(`waiting for another process that builds ${part.name}`),
      () => (exists(path) ? Promise.resolve({ kind: "built", path }) : build(part, path, options)),
    );
  } catch (error) {
    options.signal.throwIfAborted();
    return { kind: "not-built", reason: `cannot build into ${folder}: ${describe(error)}` };
  }
}

async function build(part: Part, path: string, options: ObtainOptions): Promise<Built> {
  options.report(
    `building ${part.name} ${part.version} from its pinned Go module, ${part.buildTime}, once`,
  );
  const unfinished = `${path}.${process.pid}.building`;
  const flags = part.ldflags === undefined ? [] : ["-ldflags", part.ldflags];
  try {
    const result = await run(
      "go",
      ["build", "-trimpath", "-mod=readonly", ...flags, "-o", unfinished, part.goPackage],
      {
        cwd: join(projectRoot(), part.module),
        // A go.work or GOFLAGS of the user's would change what is built.
        env: { ...options.env, CGO_ENABLED: "0", GOWORK: "off", GOFLAGS: "" },
        signal: options.signal,
      },
    );
    options.signal.throwIfAborted();
    if (result.exitCode !== 0) {
      const cause = lastLines(result.output, 3);
      return { kind: "not-built", reason: `go build of ${part.name} failed: ${cause}` };
    }
    if ((await versionOf(part, unfinished, options)) === undefined) {
      return { kind: "not-built", reason: `the built ${part.name} does not tell its version` };
    }
    renameSync(unfinished, path);
    return { kind: "built", path };
  } finally {
    rmSync(unfinished, { force: true });
  }
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false; // whatever the reason: then we build
  }
}
