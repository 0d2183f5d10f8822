/**
 * The last resort on a machine with apt and without Go: Debian's package, unpacked into our cache. Nothing is
 * installed and root is not needed; apt checks the archive's signature as it always does.
 */
import {
  chmodSync,
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "../../runtime/error.ts";
import type { ObtainOptions, Part } from "./part.ts";
import { lastLines, run } from "./run.ts";
import { atLeast, versionOf } from "./version.ts";

export type Unpacked =
  | { readonly kind: "unpacked"; readonly path: string }
  | { readonly kind: "not-unpacked"; readonly reason: string };

const WITHIN_MS = 120_000;

export async function unpackDebianPackage(
  part: Part,
  name: string,
  folder: string,
  options: ObtainOptions,
): Promise<Unpacked> {
  const shown = await run("apt-cache", ["show", "--no-all-versions", name], {
    ...options,
    timeoutMs: WITHIN_MS,
  });
  const candidate = /^Version: (?:\d+:)?(\S+)/m.exec(shown.output)?.[1];
  if (shown.exitCode !== 0 || candidate === undefined) {
    return { kind: "not-unpacked", reason: `apt does not offer the package ${name}` };
  }
  if (!atLeast(candidate, part.minimum)) {
    return { kind: "not-unpacked", reason: `apt offers ${name} ${candidate}, which is too old` };
  }
  options.report(`unpacking Debian's ${name} ${candidate} into the cache`);
  const work = mkdtempSync(join(tmpdir(), "postern-part-"));
  try {
    return await unpack(part, name, folder, work, options);
  } catch (error) {
    options.signal.throwIfAborted();
    return { kind: "not-unpacked", reason: `cannot unpack ${name}: ${describe(error)}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function unpack(
  part: Part,
  name: string,
  folder: string,
  work: string,
  options: ObtainOptions,
): Promise<Unpacked> {
  const within = { ...options, cwd: work, timeoutMs: WITHIN_MS };
  const downloaded = await run("apt-get", ["download", name], within);
  const archive = globSync("*.deb", { cwd: work })[0];
  if (downloaded.exitCode !== 0 || archive === undefined) {
    const cause = lastLines(downloaded.output, 2);
    return { kind: "not-unpacked", reason: `apt-get download ${name} failed: ${cause}` };
  }
  const extracted = await run("dpkg", ["-x", archive, "files"], within);
  const program = globSync(`files/usr/{bin,sbin}/${part.name}`, { cwd: work })[0];
  if (extracted.exitCode !== 0 || program === undefined) {
    return { kind: "not-unpacked", reason: `${archive} does not hold ${part.name}` };
  }
  const unfinished = join(folder, `${part.name}.${process.pid}.unpacking`);
  mkdirSync(folder, { recursive: true });
  try {
    copyFileSync(join(work, program), unfinished); // the cache may be on another file system
    chmodSync(unfinished, 0o755);
    if ((await versionOf(part, unfinished, options)) === undefined) {
      return { kind: "not-unpacked", reason: `Debian's ${part.name} does not run here` };
    }
    renameSync(unfinished, join(folder, part.name));
    return { kind: "unpacked", path: join(folder, part.name) };
  } finally {
    rmSync(unfinished, { force: true });
  }
}
