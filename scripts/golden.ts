/** Why: golden outputs are written by the same code that compares them; afterwards the diff is the review. */
import { spawn } from "node:child_process";

const child = spawn(
  process.execPath,
  ["node_modules/jest/bin/jest.js", "test/golden.test.ts", ...process.argv.slice(2)],
  {
    stdio: "inherit",
    env: {
      ...process.env,
      UPDATE_GOLDEN: "1",
      NODE_OPTIONS: `${process.env["NODE_OPTIONS"] ?? ""} --experimental-vm-modules`,
    },
  },
);
child.once("close", (code) => {
  process.exitCode = code ?? 1;
});
