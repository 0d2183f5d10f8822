/**
 * What each process loads when it starts, read from the bundler's own account. The sidecar stands beside every
 * pod, so each package in it is paid for thousands of times, and is attack surface as often.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";

const DIST = join(import.meta.dirname, "..", "dist");

interface Metafile {
  readonly inputs: Readonly<
    Record<
      string,
      { readonly imports: readonly { readonly path: string; readonly kind: string }[] }
    >
  >;
}

function metafile(bundle: "sidecar" | "controller" | "postern"): Metafile {
  const file = join(DIST, "meta.json");
  if (!existsSync(file)) throw new Error("dist/meta.json is missing: run npm run build");
  return (JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, Metafile>>)[
    bundle
  ] as Metafile;
}

/** Everything that runs before the first line of the entry does: what `import()` loads later is not in it. */
function loadedAtStart(bundle: "sidecar" | "controller" | "postern", entry: string): string[] {
  const { inputs } = metafile(bundle);
  const seen = new Set<string>();
  const open = [entry];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const { path: next, kind } of inputs[path]?.imports ?? []) {
      if (kind !== "dynamic-import") open.push(next);
    }
  }
  return [...seen];
}

function packagesOf(paths: readonly string[]): string[] {
  const names = paths.flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []);
  return [...new Set(names)].sort();
}

describe("dist/sidecar.js", () => {
  test("holds these packages and no others, started or not", () => {
    expect(packagesOf(Object.keys(metafile("sidecar").inputs))).toEqual([
      "@nats-io/jetstream",
      "@nats-io/kv",
      "@nats-io/nats-core",
      "@nats-io/nkeys",
      "@nats-io/nuid",
      "@nats-io/obj",
      "@nats-io/transport-node",
      "jose",
      "js-sha256",
      "tweetnacl",
      "undici",
    ]);
  });

  test("holds of undici the WebAssembly of llhttp and nothing else", () => {
    const inputs = Object.keys(metafile("sidecar").inputs);
    expect(inputs.filter((path) => path.includes("node_modules/undici/"))).toEqual([
      "node_modules/undici/lib/llhttp/llhttp-wasm.js",
    ]);
  });

  test("does not load the object store at its start", () => {
    const start = loadedAtStart("sidecar", "sidecar/main.ts");
    expect(start.length).toBeGreaterThan(50);
    expect(packagesOf(start)).not.toContain("@nats-io/obj");
  });

  test("holds nothing of the controller and nothing of the command", () => {
    const ours = Object.keys(metafile("sidecar").inputs).filter(
      (path) => !path.startsWith("node_modules"),
    );
    const folders = new Set(ours.map((path) => path.split("/")[0]));
    expect([...folders].map(String).toSorted()).toEqual([
      "package.json",
      "policy",
      "runtime",
      "sidecar",
    ]);
  });

  // The parser's WebAssembly is 70 KiB of it.
  test("is below 576 KiB", () => {
    expect(statSync(join(DIST, "sidecar.js")).size).toBeLessThan(576 * 1024);
  });
});

describe("dist/controller.js", () => {
  test("holds nothing of the sidecar", () => {
    const inputs = Object.keys(metafile("controller").inputs);
    expect(inputs.filter((path) => path.startsWith("sidecar/"))).toEqual([]);
  });
});

describe("dist/postern.js", () => {
  test("loads no package before it knows that Node is new enough", () => {
    expect(loadedAtStart("postern", "cli/main.ts")).toEqual(["cli/main.ts"]);
  });

  test("loads nothing but the command line reader to answer --help", () => {
    expect(packagesOf(loadedAtStart("postern", "cli/program-main.ts"))).toEqual(["commander"]);
  });

  test("checks files without loading NATS or the Kubernetes client", () => {
    expect(packagesOf(loadedAtStart("postern", "cli/commands/lint.ts"))).toEqual(["yaml"]);
  });

  test("runs a sidecar from files without loading NATS or the Kubernetes client", () => {
    expect(packagesOf(loadedAtStart("postern", "cli/commands/run.ts"))).toEqual([
      "jose",
      "undici",
      "yaml",
    ]);
  });
});
