/**
 * Why: one file per process starts faster and is easier to read through in an audit than a tree of packages.
 * dist/sidecar.js and dist/controller.js are whole; dist/postern.js loads each command when it is asked for.
 * Files are renamed into place, so that a process that starts meanwhile never reads half of one.
 */
import { chmodSync, globSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { type BuildOptions, type Metafile, type OutputFile, build } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "dist");

const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minify: true,
  // Names stand in stack traces and error classes.
  keepNames: true,
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
  // Packages in CommonJS call require() for Node's own modules, which ESM does not have.
  banner: {
    js: 'import{createRequire as $require}from"node:module";const require=$require(import.meta.url);',
  },
} as const satisfies BuildOptions;

interface Bundle {
  readonly name: string;
  readonly options: BuildOptions;
}

const BUNDLES: readonly Bundle[] = [
  { name: "sidecar", options: { entryPoints: { sidecar: "sidecar/main.ts" } } },
  { name: "controller", options: { entryPoints: { controller: "controller/main.ts" } } },
  {
    name: "postern",
    options: {
      entryPoints: { postern: "cli/main.ts" },
      splitting: true,
      chunkNames: "chunks/[name]-[hash]",
    },
  },
];

const isQuiet = process.argv.includes("--quiet");
const metafiles: Record<string, Metafile> = {};
const written = new Set<string>();
for (const bundle of BUNDLES) {
  const result = await build({ ...COMMON, ...bundle.options, outdir: OUT });
  for (const file of result.outputFiles ?? []) write(file);
  if (result.metafile !== undefined) {
    metafiles[bundle.name] = result.metafile;
    if (!isQuiet) process.stdout.write(`${describeSize(bundle.name, result.metafile)}\n`);
  }
}
for (const path of globSync(join(OUT, "**/*.{js,map}"))) {
  if (!written.has(path)) rmSync(path, { force: true });
}
// Last: its time is what `scripts/run.mjs` compares the sources with.
writeFileSync(join(OUT, "meta.json"), JSON.stringify(metafiles));

function write(file: OutputFile): void {
  mkdirSync(dirname(file.path), { recursive: true });
  const unfinished = `${file.path}.${process.pid}.writing`;
  writeFileSync(unfinished, file.contents);
  chmodSync(unfinished, file.path === join(OUT, "postern.js") ? 0o755 : 0o644);
  renameSync(unfinished, file.path);
  written.add(file.path);
}

function describeSize(name: string, metafile: Metafile): string {
  const files = Object.entries(metafile.outputs).filter(([path]) => path.endsWith(".js"));
  const bytes = files.reduce((sum, [, output]) => sum + output.bytes, 0);
  const main = join(relative(ROOT, OUT), `${name}.js`);
  const more = files.length === 1 ? "" : ` in ${files.length} files`;
  return `${main.padEnd(20)} ${String(Math.round(bytes / 1024)).padStart(6)} KiB${more}`;
}
