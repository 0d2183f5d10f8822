/**
 * Why: all that can be known of the sources without running them, each as a claim that holds or does not.
 * `npm run check` goes through every claim, shows the output of those that fail, and ends with the count.
 */
import { spawnSync } from "node:child_process";

interface Claim {
  readonly holds: string;
  readonly fails: string;
  /** Program of node_modules/.bin, or a script of ours, with its arguments. */
  readonly command: readonly string[];
  readonly remedy: string;
}

const CLAIMS: readonly Claim[] = [
  {
    holds: "types hold",
    fails: "types do not hold",
    command: ["tsc", "-p", "."],
    remedy: "see above",
  },
  {
    holds: "lint finds nothing",
    fails: "lint finds something",
    command: ["oxlint"],
    remedy: "see above",
  },
  {
    holds: "every file is formatted",
    fails: "some files are not formatted",
    command: ["prettier", "--check", "--log-level", "warn", "."],
    remedy: "run npm run format",
  },
  {
    holds: "generated files are current",
    fails: "generated files are out of date",
    command: ["node", "scripts/generate.ts", "--check"],
    remedy: "run npm run generate",
  },
];

let failed = 0;
for (const claim of CLAIMS) {
  const [program = "", ...args] = claim.command;
  const result = spawnSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (result.status === 0) {
    say(`✓ ${claim.holds}`);
    continue;
  }
  failed += 1;
  say(`${result.stdout}${result.stderr}${result.error?.message ?? ""}`.trimEnd());
  say(`✗ ${claim.fails}: ${claim.remedy}`);
}
say(`${CLAIMS.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
