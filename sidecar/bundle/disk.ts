/**
 * The last verified bundle, kept beside us so that a restarted container enforces before NATS answers. What is
 * on disk is believed no more than what is on the bus: it is verified again. A disk that fails costs this
 * comfort and nothing else.
 */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import { MAX_BUNDLE_BYTES } from "./verify.ts";

const FILE = "bundle.jws";

export interface BundleDisk {
  /** Undefined when there is none, or none that can be read. */
  load(): Promise<Uint8Array | undefined>;
  /** Resolves when it is on the disk for good, or has been logged as failed. */
  save(bytes: Uint8Array): Promise<void>;
}

export function bundleDisk(folder: string, log: Log): BundleDisk {
  const path = join(folder, FILE);
  return {
    async load() {
      try {
        return await readBounded(path);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        log.warn("Cannot read the kept bundle; going on without it", {
          path,
          error: describe(cause),
        });
        return undefined;
      }
    },
    async save(bytes) {
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await writeWhole(path, bytes);
      } catch (cause) {
        log.warn("Cannot keep the bundle; going on without", { path, error: describe(cause) });
      }
    },
  };
}

async function readBounded(path: string): Promise<Uint8Array> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  if (size > MAX_BUNDLE_BYTES) throw new RangeError(`It has ${size} bytes`);
  return file.readFile();
}

/** A crash leaves the old file or the new one, never a part. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const next = `${path}.next`;
  await rm(next, { force: true });
  {
    await using file = await open(next, "wx", 0o600);
    await file.writeFile(bytes);
    await file.sync();
  }
  await rename(next, path);
  await using folder = await open(join(path, ".."), "r");
  await folder.sync();
}
