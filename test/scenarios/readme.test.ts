/**
 * The README is executed. A block ```sh test runs to its end and must succeed; ```sh until "words" runs until it
 * says the words, and stays for the blocks after it. `# 401` behind a curl is the status that it must show.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { ROOT, type Running, startProgram } from "../support/cli.ts";
import { freePort } from "../support/process.ts";

interface Block {
  readonly name: string;
  readonly until: string | undefined;
  readonly script: string;
}

const README = readFileSync(join(ROOT, "README.md"), "utf8");
const BLOCKS: readonly Block[] = [
  ...README.matchAll(/^```sh (?:test|until "([^"]+)")\n([\s\S]*?)^```$/gm),
].map(([, until, script = ""]) => ({ name: script.split("\n")[0] ?? "", until, script }));

describe("README.md", () => {
  const running: Running[] = [];
  const ports = new Map<string, number>();
  afterAll(async () => {
    for (const process of running.toReversed()) await process.stop();
  });

  test("has blocks to execute, and every sh block is one", () => {
    expect(BLOCKS.length).toBeGreaterThanOrEqual(6);
    expect(README.match(/^```sh/gm)).toHaveLength(BLOCKS.length);
  });

  test.each(BLOCKS)(
    "$name",
    async ({ until, script }) => {
      // The well-known ports may be taken where the tests run.
      for (const port of ["3000", "8080", "8081"]) {
        if (!ports.has(port)) ports.set(port, await freePort());
      }
      const text = [...ports].reduce((all, [from, to]) => all.replaceAll(from, String(to)), script);
      const process = startProgram("bash", ["-e", "-c", `exec 2>&1\n${text}`], { isGroup: true });
      if (until !== undefined) {
        running.push(process);
        await process.says(new RegExp(until));
        return;
      }
      const { exitCode, stdout } = await process.finished;
      const shown = [...stdout.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
      const promised = [...script.matchAll(/curl .*# (\d+)$/gm)].map(([, status]) => status);
      expect(shown).toEqual(promised);
      expect({ exitCode, output: exitCode === 0 ? "" : stdout }).toEqual({
        exitCode: 0,
        output: "",
      });
    },
    60_000,
  );
});
