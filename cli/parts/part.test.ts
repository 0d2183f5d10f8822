import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type Part, cacheFolder, obtainPart } from "./part.ts";

const PART: Part = {
  name: "gatekeeper",
  family: "gate",
  version: "2.1.0",
  module: "cli/parts/no-such-module",
  goPackage: "example.com/gatekeeper",
  buildTime: "a while",
  minimum: "2.0",
  versionArguments: ["--version"],
  versionPattern: /gatekeeper (\d+\.\d+\.\d+)/,
  inKubebuilderAssets: true,
};

describe("obtainPart()", () => {
  let home = "";
  let lines: string[] = [];
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "postern-part-test-"));
    lines = [];
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  function program(folder: string, name: string, script: string): string {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
    return join(folder, name);
  }

  function options(extra: Readonly<Record<string, string>> = {}) {
    return {
      env: { XDG_CACHE_HOME: join(home, "cache"), PATH: join(home, "bin"), ...extra },
      report: (line: string) => lines.push(line),
      signal: new AbortController().signal,
    };
  }

  test("finds one on PATH that is new enough", async () => {
    const path = program(join(home, "bin"), "gatekeeper", "echo gatekeeper 2.0.1");
    expect(await obtainPart(PART, options())).toEqual({ kind: "found", path, from: "PATH" });
  });

  test("passes over one on PATH that is too old, and says so in the remedy", async () => {
    program(join(home, "bin"), "gatekeeper", "echo gatekeeper 1.9.9");
    const obtained = await obtainPart(PART, options());
    expect(obtained).toMatchObject({
      kind: "missing",
      remedy: expect.stringContaining("is version 1.9.9, and 2.0 or newer is needed"),
    });
    expect(obtained).toMatchObject({ remedy: expect.stringContaining("Go is not installed") });
  });

  test("passes over one that does not tell its version", async () => {
    program(join(home, "bin"), "gatekeeper", "exit 3");
    expect(await obtainPart(PART, options())).toMatchObject({
      remedy: expect.stringContaining("does not tell its version"),
    });
  });

  test("takes the cached build before PATH when told to prefer the pinned one", async () => {
    program(join(home, "bin"), "gatekeeper", "echo gatekeeper 9.0.0");
    const path = program(cacheFolder(PART, options().env), "gatekeeper", "echo gatekeeper 2.1.0");
    expect(await obtainPart(PART, { ...options(), prefer: "pinned" })).toEqual({
      kind: "found",
      path,
      from: "cache",
    });
  });

  test("takes KUBEBUILDER_ASSETS before everything else when told to prefer the pinned one", async () => {
    const path = program(join(home, "assets"), "gatekeeper", "echo gatekeeper 2.2.0");
    program(cacheFolder(PART, options().env), "gatekeeper", "echo gatekeeper 2.1.0");
    const env = options({ KUBEBUILDER_ASSETS: join(home, "assets") });
    expect(await obtainPart(PART, { ...env, prefer: "pinned" })).toEqual({
      kind: "found",
      path,
      from: "KUBEBUILDER_ASSETS",
    });
  });

  // A stand-in for the compiler: the real one is used whenever the cache is empty.
  const GO = [
    'if [ "$1" = version ]; then echo go version go1.26.0; exit 0; fi',
    "[ -n \"$FAIL\" ] && { echo 'cannot compile: out of disk' >&2; exit 1; }",
    'while [ "$1" != "-o" ]; do shift; done',
    'printf "#!/bin/sh\\necho gatekeeper 2.1.0\\n" > "$2"; /bin/chmod +x "$2"',
  ].join("\n");

  test("builds once when two ask at the same time, and says what it does", async () => {
    program(join(home, "bin"), "go", GO);
    const part = { ...PART, module: "cli/parts/nats-server" };
    const [first, second] = await Promise.all([
      obtainPart(part, options()),
      obtainPart(part, options()),
    ]);
    expect(first).toEqual({
      kind: "found",
      path: join(cacheFolder(part, options().env), "gatekeeper"),
      from: "build",
    });
    expect(second).toEqual(first);
    expect(lines).toEqual([
      "building gatekeeper 2.1.0 from its pinned Go module, a while, once",
      "waiting for another process that builds gatekeeper",
    ]);
  });

  test("reports what the compiler died of, and leaves nothing half-built in the cache", async () => {
    program(join(home, "bin"), "go", GO);
    const part = { ...PART, module: "cli/parts/nats-server" };
    expect(await obtainPart(part, options({ FAIL: "1" }))).toMatchObject({
      kind: "missing",
      remedy: expect.stringContaining("cannot compile: out of disk"),
    });
    expect(await obtainPart(part, options())).toMatchObject({ kind: "found", from: "build" });
  });

  test("takes over the lock of a builder that died", async () => {
    program(join(home, "bin"), "go", GO);
    const part = { ...PART, module: "cli/parts/nats-server" };
    const folder = cacheFolder(part, options().env);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "gatekeeper.lock"), "4194999"); // above every pid that Linux gives
    expect(await obtainPart(part, options())).toMatchObject({ kind: "found", from: "build" });
  });
});
