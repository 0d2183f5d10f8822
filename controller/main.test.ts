import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { freePort } from "../test/support/process.ts";
import { waitFor } from "../test/support/wait.ts";

const MAIN = join(import.meta.dirname, "main.ts");

function start(env: Readonly<Record<string, string>>): {
  child: ChildProcess;
  output: () => string;
} {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  }
  return { child, output: () => output };
}

describe("the controller's process", () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "postern-controller-"));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test("ends with 1 and names every setting that is wrong", async () => {
    const { child, output } = start({ POSTERN_NATS_URL: "http://nats", POSTERN_NATS_URLS: "x" });
    const [code] = (await once(child, "close")) as [number];
    expect(code).toBe(1);
    expect(output()).toContain("POSTERN_NAMESPACE: is required");
    expect(output()).toContain("POSTERN_NATS_URL: must be");
    expect(output()).toContain("POSTERN_NATS_URLS: is not a setting");
  });

  test("without API server and bus it waits, answers probes, says why, and ends in order", async () => {
    const kubeconfig = join(dir, "config");
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        clusters: [{ name: "c", cluster: { server: `https://127.0.0.1:${await freePort()}` } }],
        users: [{ name: "u", user: { token: "hunter2" } }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        "current-context": "x",
      }),
    );
    const admin = await freePort();
    const { child, output } = start({
      POSTERN_NAMESPACE: "postern-system",
      POSTERN_KUBECONFIG: kubeconfig,
      POSTERN_NATS_URL: `nats://127.0.0.1:${await freePort()}`,
      POSTERN_ADMIN_LISTEN: `127.0.0.1:${admin}`,
    });
    const closed = once(child, "close");
    await waitFor("it says that it cannot read the key", () =>
      output().includes("Cannot read the signing key"),
    );
    const ready = await fetch(`http://127.0.0.1:${admin}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      503,
      expect.stringContaining("the signing key has not been read yet"),
    ]);
    expect((await fetch(`http://127.0.0.1:${admin}/livez`)).status).toBe(200);
    child.kill("SIGTERM");
    expect(await closed).toEqual([0, null]);
    expect(output()).not.toContain("hunter2");
  });
});
