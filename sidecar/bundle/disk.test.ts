import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { createLog, silentLog } from "../../runtime/log.ts";
import { ManualClock } from "../../runtime/clock.ts";
import { bundleDisk } from "./disk.ts";

const BYTES = Buffer.from("a.b.c");

describe("bundleDisk()", () => {
  let folder: string;
  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), "postern-disk-")), "state");
  });
  afterEach(() => rm(join(folder, ".."), { recursive: true, force: true }));

  test("has nothing at first, then what was saved last, for our eyes only", async () => {
    const disk = bundleDisk(folder, silentLog);
    expect(await disk.load()).toBeUndefined();
    await disk.save(Buffer.from("old"));
    await disk.save(BYTES);
    expect(Buffer.from((await disk.load()) ?? []).toString()).toBe("a.b.c");
    expect((await stat(join(folder, "bundle.jws"))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(["bundle.jws"]);
  });

  test("survives what a crash left behind", async () => {
    await mkdir(folder);
    await writeFile(join(folder, "bundle.jws.next"), "half");
    const disk = bundleDisk(folder, silentLog);
    await disk.save(BYTES);
    expect(Buffer.from((await disk.load()) ?? []).toString()).toBe("a.b.c");
  });

  test("does not follow a link that waits where the new file goes", async () => {
    await mkdir(folder);
    const victim = join(folder, "victim");
    await writeFile(victim, "mine");
    const { symlink, readFile } = await import("node:fs/promises");
    await symlink(victim, join(folder, "bundle.jws.next"));
    await bundleDisk(folder, silentLog).save(BYTES);
    expect(await readFile(victim, "utf8")).toBe("mine");
  });

  test("does not read a file that is larger than any bundle", async () => {
    await mkdir(folder);
    await writeFile(join(folder, "bundle.jws"), new Uint8Array(1024 * 1024 + 1));
    expect(await bundleDisk(folder, silentLog).load()).toBeUndefined();
  });

  test("says in the log that the disk is unusable, and goes on", async () => {
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const log = createLog({ level: "info", clock: new ManualClock(), write });
    await writeFile(folder, "a file where the folder should be");
    await chmod(folder, 0o600);
    const disk = bundleDisk(folder, log);
    await disk.save(BYTES);
    expect(await disk.load()).toBeUndefined();
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual([
      "warn",
      "warn",
    ]);
  });
});
