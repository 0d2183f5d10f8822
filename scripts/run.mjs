/**
 * Why: `npm start` and `npm test` have to work on a fresh clone with whatever Node the machine has. This is
 * the one entry of all npm scripts. It installs what package-lock.json says when node_modules differs, finds
 * the pinned Node, builds when a source is newer than dist/, and hands over. Plain JavaScript and nothing but
 * Node's own modules, for Node 18 and newer.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NEEDED_NODE = 24;
/** What goes into the bundles. */
const SOURCES = ["cli", "controller", "policy", "runtime", "sidecar", "scripts/build.ts"];

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Each command: what it runs on the pinned Node, and whether dist/ must be up to date before. */
const COMMANDS = {
  start: { built: true, steps: (rest) => [["dist/postern.js", ...startArguments(rest)]] },
  test: { built: true, steps: (rest) => [["scripts/test.ts", ...rest]] },
  check: { built: false, steps: () => [["scripts/check.ts"]] },
  build: { built: false, steps: () => [["scripts/build.ts"]] },
  types: { built: false, steps: () => [[bin("tsc"), "-p", "."]] },
  lint: { built: false, steps: (rest) => [[bin("oxlint"), ...rest]] },
  format: {
    built: false,
    steps: (rest) => [[bin("prettier"), rest.includes("--check") ? "--check" : "--write", "."]],
  },
  generate: { built: false, steps: (rest) => [["scripts/generate.ts", ...rest]] },
  golden: {
    built: false,
    env: { UPDATE_GOLDEN: "1" },
    steps: () => [
      ["--experimental-vm-modules", bin("jest"), "test/golden.test.ts", "test/charts.test.ts"],
    ],
  },
  bench: { built: true, steps: (rest) => [["bench/main.ts", ...rest]] },
};

const [name = "", ...rest] = process.argv.slice(2);
process.chdir(ROOT);
await main(name, rest);

async function main(name, rest) {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (name === "prepare") {
    // npm runs this after each install, so that `npx postern` works at once; without our development
    // packages (npm ci --omit=dev) there is nothing to build with, and nothing is asked for.
    if (!existsSync(join("node_modules", "esbuild"))) return;
    const node = pinnedNode();
    await run(node, ["scripts/build.ts", "--quiet"], environment(node));
    return;
  }
  if (command === undefined) {
    stop(2, `Unknown command "${name}": use one of ${Object.keys(COMMANDS).join(", ")}`);
  }
  install();
  const node = pinnedNode();
  const env = { ...environment(node), ...command.env };
  if (command.built && !isBuilt()) {
    say("building dist/, since a source is newer");
    await run(node, ["scripts/build.ts", "--quiet"], env);
  }
  for (const step of command.steps(rest)) await run(node, step, env);
}

/** `npm start` is `postern dev`; `npm start -- --demo` gives it flags; `npm start -- lint x` is another command. */
function startArguments(rest) {
  const first = rest[0];
  return first === undefined || first.startsWith("-") ? ["dev", ...rest] : rest;
}

// === Packages ===

function install() {
  const reason = whyInstall();
  if (reason === undefined) return;
  say(`installing packages with npm ci (about a minute), since ${reason}`);
  const npm = process.env.npm_execpath;
  const args = ["ci", "--no-audit", "--no-fund", "--include=optional", "--include=dev"];
  const result =
    npm !== undefined && npm.endsWith(".js")
      ? spawnSync(process.execPath, [npm, ...args], { stdio: ["ignore", 2, 2] })
      : spawnSync("npm", args, { stdio: ["ignore", 2, 2] });
  if (result.status !== 0) {
    stop(1, "npm ci failed, see above: check the network and the registry, then run this again");
  }
}

/** npm notes what it installed in a hidden lockfile: comparing versions is exact and takes milliseconds. */
function whyInstall() {
  const note = join("node_modules", ".package-lock.json");
  if (!existsSync(note)) return "node_modules is missing";
  const wanted = readPackages("package-lock.json");
  const present = readPackages(note);
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "" || entry.optional === true || entry.devOptional === true) continue;
    const have = present[path]?.version;
    if (have !== entry.version) {
      const what = have === undefined ? "is missing" : `is ${have}`;
      return `${path} ${what} and package-lock.json says ${entry.version}`;
    }
  }
  return undefined;
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch (error) {
    return stop(1, `Cannot read ${file}: ${error.message}; run npm ci and try again`);
  }
}

// === Node ===

function pinnedNode() {
  const pinned = join(ROOT, "node_modules", ".bin", "node");
  const works = existsSync(pinned) && spawnSync(pinned, ["--version"]).status === 0;
  if (works) return pinned;
  if (Number(process.versions.node.split(".")[0]) >= NEEDED_NODE) return process.execPath;
  return stop(
    1,
    `Postern needs Node ${NEEDED_NODE} or newer: this is ${process.version}, and the pinned Node of ` +
      `package.json does not run on ${process.platform}-${process.arch}; install Node ${NEEDED_NODE} ` +
      "and run this again",
  );
}

function environment(node) {
  const path = [dirname(node), join(ROOT, "node_modules", ".bin"), process.env.PATH ?? ""];
  return { ...process.env, PATH: path.join(delimiter) };
}

function bin(name) {
  return join("node_modules", ".bin", name);
}

// === Build ===

function isBuilt() {
  const stamp = join("dist", "meta.json");
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  return SOURCES.every((source) => newest(source) <= built);
}

/** Folders count, too: their time changes when a file in them goes away. */
function newest(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  let latest = info.mtimeMs;
  for (const entry of readdirSync(path)) latest = Math.max(latest, newest(join(path, entry)));
  return latest;
}

// === Processes ===

/** Ends this process when the step fails. The step gets our signals, and we end when it does. */
function run(node, [program, ...args], env) {
  return new Promise((resolve) => {
    const flags = ["--disable-warning=ExperimentalWarning"];
    const child = spawn(node, [...flags, program, ...args], { stdio: "inherit", env });
    const forward = (signal) => child.kill(signal);
    for (const signal of SIGNALS) process.on(signal, forward);
    child.once("error", (error) => stop(1, `Cannot run ${program}: ${error.message}`));
    child.once("exit", (code, signal) => {
      for (const signal of SIGNALS) process.off(signal, forward);
      if (code === 0) resolve(undefined);
      else process.exit(code ?? (signal === "SIGINT" ? 130 : 143));
    });
  });
}

function say(line) {
  process.stderr.write(`postern: ${line}\n`);
}

function stop(code, sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(code);
}
