/**
 * Why: the tests need real servers, and a suite that could not have its server must not look like one that
 * passed. This obtains the parts, runs jest with the given arguments, and ends with what was not run and why,
 * and with the plain line `N passed, N failed`. With CI=true a missing part is a failure.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Obtained, obtainPart } from "../cli/parts/part.ts";
import { PARTS, PARTS_VARIABLE } from "../test/support/parts.ts";

interface JestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  /** Files that could not even be loaded. */
  readonly numRuntimeErrorTestSuites: number;
}

const stop = new AbortController();
const work = mkdtempSync(join(tmpdir(), "postern-test-"));
try {
  process.exitCode = await main(process.argv.slice(2));
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function main(args: readonly string[]): Promise<number> {
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  const isCi = process.env["CI"] === "true" || process.env["CI"] === "1";
  const parts = await obtainParts();
  const reportFile = join(work, "report.json");
  const code = await jest(["--json", `--outputFile=${reportFile}`, ...args], parts);
  const report = readReport(reportFile);
  if (report === undefined) return code === 0 ? 0 : code; // jest said why; `--listTests` writes no report
  const missing = Object.entries(parts).filter(([, part]) => part.kind === "missing");
  let failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  if (missing.length > 0) {
    say(isCi ? "\nFailed, because a part is missing:" : "\nNot run, because a part is missing:");
    for (const [name, part] of missing) {
      if (part.kind === "missing") say(`  ${name}: ${part.remedy}`);
    }
    if (isCi) failed += missing.length;
  }
  if (report.numPendingTests > 0) say(`${report.numPendingTests} not run`);
  say(`${report.numPassedTests} passed, ${failed} failed`);
  return code !== 0 || failed > 0 ? 1 : 0;
}

async function obtainParts(): Promise<Readonly<Record<string, Obtained>>> {
  const found: Record<string, Obtained> = {};
  for (const [name, part] of Object.entries(PARTS)) {
    found[name] = await obtainPart(part, {
      env: process.env,
      report: say,
      signal: stop.signal,
      prefer: "pinned",
    });
  }
  return found;
}

function jest(args: readonly string[], parts: Readonly<Record<string, Obtained>>): Promise<number> {
  const options = [process.env["NODE_OPTIONS"] ?? "", "--experimental-vm-modules"];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["node_modules/jest/bin/jest.js", ...args], {
      // With --json jest puts the report on standard output, unless it goes to a file: then nothing.
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        ...process.env,
        NODE_OPTIONS: `${options.join(" ").trim()} --disable-warning=ExperimentalWarning`,
        [PARTS_VARIABLE]: JSON.stringify(parts),
      },
    });
    stop.signal.addEventListener("abort", () => child.kill("SIGTERM"));
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

function readReport(file: string): JestReport | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as JestReport;
  } catch {
    return undefined; // jest ended before it had one
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
