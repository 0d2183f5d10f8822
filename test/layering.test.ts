/** Who may import whom. This table is the diagram of docs/architecture.md; a new arrow is a decision, not an accident. */
import { readFileSync, globSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "@jest/globals";

const ROOT = join(import.meta.dirname, "..");

/** Folder → folders of ours, and packages, that it may import. `node:` counts as a package. */
const LAYERS: Record<string, { readonly ours: string[]; readonly packages: string[] }> = {
  policy: { ours: [], packages: [] },
  runtime: { ours: [], packages: ["node:", "@nats-io/"] },
  sidecar: { ours: ["policy", "runtime"], packages: ["node:", "jose", "undici/lib/llhttp/"] },
  controller: {
    ours: ["policy", "runtime"],
    packages: ["node:", "jose", "@kubernetes/client-node"],
  },
  // The composition root: `postern run` and `postern dev` put a sidecar and a controller into one process.
  cli: {
    ours: ["policy", "runtime", "sidecar", "controller"],
    packages: ["node:", "commander", "yaml", "jose", "@kubernetes/client-node"],
  },
};

/** Within a folder: the only files that may import a package. Everybody else goes through them. */
const HOMES: readonly { readonly package: string; readonly files: RegExp; readonly why: string }[] =
  [
    { package: "@nats-io/", files: /^runtime\/bus\/nats/, why: "the bus is an interface" },
    {
      package: "@kubernetes/client-node",
      files: /^(controller\/kube|cli\/kube)\//,
      why: "it costs 80 MB",
    },
    {
      package: "node:crypto",
      files: /^(policy\/encode\.ts$|runtime|sidecar|controller|cli)/,
      why: "policy is pure; hashing is its one exception (ADR 0003)",
    },
    {
      package: "undici",
      files: /^sidecar\/http1\/llhttp-/,
      why: "the parser has one wrapper (ADR 0010)",
    },
    {
      package: "jose",
      files: /^(sidecar\/(authentication|bundle)|controller\/(keys|sign)|cli\/dev)/,
      why: "tokens and signatures have one home each",
    },
  ];

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^;"']*?from\s*["']([^"']+)["']|(?:^|\n)\s*import\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;

interface Arrow {
  readonly file: string;
  readonly target: string;
  /** Gone at run time. */
  readonly typeOnly: boolean;
}

function arrows(): Arrow[] {
  const found: Arrow[] = [];
  for (const folder of Object.keys(LAYERS)) {
    for (const file of globSync(`${folder}/**/*.ts`, { cwd: ROOT })) {
      if (file.endsWith(".test.ts") || file.endsWith(".suite.ts")) continue;
      const source = readFileSync(join(ROOT, file), "utf8");
      for (const match of source.matchAll(IMPORT)) {
        const specifier = match[1] ?? match[2] ?? match[3] ?? "";
        const target = specifier.startsWith(".")
          ? relative(ROOT, join(ROOT, dirname(file), specifier))
          : specifier;
        found.push({ file, target, typeOnly: /^\s*(?:import|export)\s+type\s/.test(match[0]) });
      }
    }
  }
  return found;
}

function isOurs(target: string): boolean {
  return (
    Object.keys(LAYERS).some((layer) => target.startsWith(`${layer}/`)) || /^[./]/.test(target)
  );
}

describe("layering", () => {
  const all = arrows();

  test("the table sees the code", () => {
    expect(all.length).toBeGreaterThan(20);
  });

  test("no folder imports what the table does not allow", () => {
    const wrong = all.filter(({ file, target }) => {
      const layer = file.split("/")[0] ?? "";
      const rule = LAYERS[layer];
      if (rule === undefined) return true;
      // Its version, which the bundler copies in.
      if (target === "package.json") return false;
      if (isOurs(target)) return ![layer, ...rule.ours].includes(target.split("/")[0] ?? "");
      if (HOMES.some((home) => target.startsWith(home.package) && home.files.test(file)))
        return false;
      return !rule.packages.some((name) => target === name || target.startsWith(name));
    });
    expect(wrong).toEqual([]);
  });

  test("packages with one home are imported nowhere else", () => {
    const wrong = all.filter(({ file, target }) =>
      HOMES.some((home) => target.startsWith(home.package) && !home.files.test(file)),
    );
    expect(wrong).toEqual([]);
  });

  test("the sidecar takes node:http from runtime/http.ts, which loads 5 MB less", () => {
    const wrong = all.filter(
      ({ file, target, typeOnly }) =>
        target === "node:http" && !typeOnly && /^(sidecar|runtime)\//.test(file),
    );
    expect(wrong).toEqual([]);
  });

  test("sidecar and controller never import each other", () => {
    const wrong = all.filter(
      ({ file, target }) =>
        (file.startsWith("sidecar/") && target.startsWith("controller/")) ||
        (file.startsWith("controller/") && target.startsWith("sidecar/")),
    );
    expect(wrong).toEqual([]);
  });

  test("imports name the file, with its ending", () => {
    const wrong = all.filter(({ target }) => isOurs(target) && !/\.(ts|cjs|json)$/.test(target));
    expect(wrong).toEqual([]);
  });
});
