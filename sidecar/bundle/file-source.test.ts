import {
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { readBundle } from "../../policy/read-bundle.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { nextOf } from "../../test/support/wait.ts";
import { fileSource } from "./file-source.ts";
import type { FileSource } from "./file-source.ts";
import { closedBundle, sourceSuite, untilRevision } from "./source.suite.ts";

function bundleFile(path: string, paths: readonly string[] = [path]): FileSource {
  return fileSource({
    paths,
    clock: systemClock,
    log: silentLog,
    load: async () => {
      const read = readBundle(JSON.parse(await readFile(path, "utf8")));
      return read;
    },
  });
}

describe("fileSource()", () => {
  let folder: string;
  let control: AbortController;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "postern-files-"));
    control = new AbortController();
  });
  afterEach(async () => {
    control.abort();
    await rm(folder, { recursive: true, force: true });
  });

  sourceSuite(async () => {
    const own = await mkdtemp(join(tmpdir(), "postern-files-"));
    const path = join(own, "bundle.json");
    return {
      source: bundleFile(path),
      write: (bundle) => writeFile(path, JSON.stringify(bundle)),
      spoil: () => writeFile(path, "{"),
      [Symbol.asyncDispose]: () => rm(own, { recursive: true, force: true }),
    };
  });

  const write = (path: string, revision: number): Promise<void> =>
    writeFile(path, JSON.stringify(closedBundle(revision)));

  test("sees an editor that writes a new file over the old one, again and again", async () => {
    const path = join(folder, "bundle.json");
    await write(path, 1);
    const arrivals = bundleFile(path).arrivals(control.signal)[Symbol.asyncIterator]();
    await untilRevision(arrivals, 1);
    for (const revision of [2, 3, 4]) {
      await write(`${path}.tmp`, revision);
      await rename(`${path}.tmp`, path);
      await untilRevision(arrivals, revision);
    }
  });

  test("sees a file that was removed and comes back", async () => {
    const path = join(folder, "bundle.json");
    await write(path, 1);
    const arrivals = bundleFile(path).arrivals(control.signal)[Symbol.asyncIterator]();
    await untilRevision(arrivals, 1);
    await rm(path);
    expect(await nextOf(arrivals, "the loss")).toMatchObject({ kind: "refused" });
    await write(path, 2);
    await untilRevision(arrivals, 2);
  });

  test("sees Kubernetes swap the link of a mounted ConfigMap", async () => {
    await mkdir(join(folder, "..1"));
    await write(join(folder, "..1", "bundle.json"), 1);
    await symlink("..1", join(folder, "..data"));
    await symlink("..data/bundle.json", join(folder, "bundle.json"));
    const path = join(folder, "bundle.json");
    const arrivals = bundleFile(path).arrivals(control.signal)[Symbol.asyncIterator]();
    await untilRevision(arrivals, 1);
    await mkdir(join(folder, "..2"));
    await write(join(folder, "..2", "bundle.json"), 2);
    await symlink("..2", join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
    await untilRevision(arrivals, 2);
  });

  test("sees files come and go in a folder", async () => {
    const loads: string[][] = [];
    const source = fileSource({
      paths: [folder],
      clock: systemClock,
      log: silentLog,
      load: async () => {
        loads.push((await readdir(folder)).toSorted());
        return { kind: "bundle", bundle: closedBundle(loads.length) };
      },
    });
    const arrivals = source.arrivals(control.signal)[Symbol.asyncIterator]();
    await nextOf(arrivals, "the first");
    await writeFile(join(folder, "a.yaml"), "a");
    await nextOf(arrivals, "the new file");
    expect(loads.at(-1)).toEqual(["a.yaml"]);
  });

  test("loads again on reload(), though nothing changed", async () => {
    const path = join(folder, "bundle.json");
    await write(path, 1);
    const source = bundleFile(path);
    const arrivals = source.arrivals(control.signal)[Symbol.asyncIterator]();
    await untilRevision(arrivals, 1);
    source.reload();
    await untilRevision(arrivals, 1);
  });

  test("is not disturbed by other files beside its own", async () => {
    const path = join(folder, "bundle.json");
    await write(path, 1);
    let loads = 0;
    const source = fileSource({
      paths: [path],
      clock: systemClock,
      log: silentLog,
      load: async () => {
        loads += 1;
        return { kind: "bundle", bundle: closedBundle(loads) };
      },
    });
    const arrivals = source.arrivals(control.signal)[Symbol.asyncIterator]();
    await nextOf(arrivals, "the first");
    await writeFile(join(folder, "other.txt"), "x");
    await write(path, 2);
    await nextOf(arrivals, "the change");
    expect(loads).toBe(2);
  });
});
