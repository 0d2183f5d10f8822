/** `npm start` and its demo, as a newcomer meets them; the real nats-server included. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { ask } from "../../cli/dev/ask.ts";
import { runCli, startCli } from "../support/cli.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";

/** Nothing of ours may be left in the folder for temporary files. */
function leftovers(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("postern-"));
}

function temporary<T>(body: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "demo-test-"));
  return body(folder).finally(() => rmSync(folder, { recursive: true, force: true }));
}

await describeWithParts(["nats-server"], "postern dev over a real nats-server", (parts) => {
  // The one that the tests have, wherever it comes from.
  const env = (folder: string) => ({
    TMPDIR: folder,
    PATH: `${dirname(parts["nats-server"])}:${process.env["PATH"] ?? ""}`,
  });

  test(
    "the demo tells the story, every step holds, and nothing is left",
    () =>
      temporary(async (folder) => {
        const { exitCode, stdout } = await runCli(["dev", "--demo"], { env: env(folder) });
        expect(stdout).toContain("All 8 steps went as told");
        expect(stdout).not.toContain("FAIL");
        for (const words of [
          "401 authn.missing; the service never saw it",
          "answered 200 by the service",
          "403 authz.scope; the service never saw it",
          /enforced by 2 of 2 sidecars \d+ ms after the save/,
          'unknown field "spec.operations.undeclred"; did you mean "undeclared"?',
          /process \d+ is gone; every sidecar answers 401, 403 and 200 as before/,
        ]) {
          expect(stdout).toMatch(words);
        }
        // Readable without a terminal: no escape sequences.
        expect(stdout).not.toContain("\u001b");
        expect(exitCode).toBe(0);
        expect(leftovers(folder)).toEqual([]);
        const pid = Number(/process (\d+) is gone/.exec(stdout)?.[1]);
        expect(() => process.kill(pid, 0)).toThrow("ESRCH");
      }),
    60_000,
  );

  test(
    "dev shows where all is, tells each change, and stops cleanly",
    () =>
      temporary(async (folder) => {
        const dev = startCli(["dev", "--sidecars", "3"], { env: env(folder) });
        const file = (await dev.says(/policy {4}(\S+)/))[1] ?? "";
        const url = (await dev.says(/curl -i (http:\S+\/orders\/1)/))[1] ?? "";
        const tokens = (await dev.says(/tokens {4}(\S+)/))[1] ?? "";
        const pid = Number((await dev.says(/nats-server at .*\(pid (\d+)/))[1]);
        await dev.says(/orders: .*3 of 3 sidecars/);
        const signal = AbortSignal.timeout(10_000);
        expect((await ask({ url }, signal)).code).toBe("authn.missing");
        const token = (await ask({ url: tokens }, signal)).body;
        expect((await ask({ url, token }, signal)).status).toBe(200);
        const text = readFileSync(file, "utf8");
        writeFileSync(file, text.replaceAll("orders:read", "orders:browse"));
        await dev.says(/3 of 3 sidecars enforce generation 2/);
        expect((await ask({ url, token }, signal)).code).toBe("authz.scope");
        writeFileSync(file, text.replace("methods: [GET]", "methods: [GTE]"));
        await dev.says(
          /error: spec\.operations\.rules\[0\]\.methods\[0\]: Unsupported value: "GTE"/,
        );
        await dev.says(/nothing changed: the policies from before stay in force/);
        dev.signal("SIGINT");
        expect((await dev.finished).exitCode).toBe(0);
        expect(leftovers(folder)).toEqual([]);
        expect(() => process.kill(pid, 0)).toThrow("ESRCH");
      }),
    60_000,
  );
});

describe("postern dev without NATS", () => {
  test(
    "runs on the bus inside the process, says why, and the demo still holds",
    () =>
      temporary(async (folder) => {
        // No nats-server on PATH, an empty cache, no Go, no apt: nothing to get one with.
        const env = { TMPDIR: folder, PATH: folder, XDG_CACHE_HOME: join(folder, "cache") };
        const { exitCode, stdout } = await runCli(["dev", "--demo"], { env });
        expect(stdout).toContain("All 6 steps went as told");
        expect(stdout).toContain("Not shown: what happens when NATS dies");
        expect(stdout).toContain("put nats-server 2.10.0 or newer on PATH");
        expect(exitCode).toBe(0);
      }),
    60_000,
  );

  test(
    "keeps the user's own folder, and writes no sample over it",
    () =>
      temporary(async (folder) => {
        const dev = startCli(["dev", "--in-process", "--policy", join(folder, "mine")], {
          env: { TMPDIR: folder },
        });
        await dev.says(/2 of 2 sidecars enforce generation 1/);
        await dev.stop();
        expect(readdirSync(join(folder, "mine"))).toEqual(["orders.yaml"]);
        const own = readFileSync(join(folder, "mine", "orders.yaml"), "utf8").replace(
          "  name: orders",
          "  name: mine",
        );
        writeFileSync(join(folder, "mine", "orders.yaml"), own);
        const again = startCli(["dev", "--in-process", "--policy", join(folder, "mine")], {
          env: { TMPDIR: folder },
        });
        await again.says(/mine: 2 of 2 sidecars enforce generation 1/);
        await again.stop();
        expect(readFileSync(join(folder, "mine", "orders.yaml"), "utf8")).toBe(own);
      }),
    60_000,
  );
});
