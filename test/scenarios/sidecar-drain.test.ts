/** The real process: it says what is wrong with its settings, and at SIGTERM it cuts no request. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { freePort } from "../support/process.ts";
import { OK } from "../support/upstream.ts";
import { waitFor } from "../support/wait.ts";
import { WORKLOAD, allowing, get, openWorld, sealed } from "./sidecar-world.ts";
import type { World } from "./sidecar-world.ts";

const MAIN = join(import.meta.dirname, "../../sidecar/main.ts");

function startMain(environment: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, ["--no-warnings", MAIN], {
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = "";
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

describe("the sidecar's process without settings", () => {
  test("ends with 1 and names every one that is missing", async () => {
    const child = startMain({ POSTERN_LISTEM: ":1", POSTERN_DRAIN_TIMEOUT: "soon" });
    const [errors, output, [code]] = await Promise.all([
      textOf(child.stderr),
      textOf(child.stdout),
      once(child, "close"),
    ]);
    expect(code).toBe(1);
    expect(output).toBe("");
    for (const line of [
      "POSTERN_LISTEM: is not a setting, did you mean POSTERN_LISTEN?",
      "POSTERN_UPSTREAM_URL: is required.",
      "POSTERN_NATS_URL: is required.",
      "POSTERN_NAMESPACE: is required.",
      "POSTERN_POD: is required.",
      "POSTERN_BUNDLE_KEYS_FILE: is required.",
      'POSTERN_DRAIN_TIMEOUT: must be a duration such as "30s"',
    ]) {
      expect(errors).toContain(line);
    }
  });
});

await describeWithParts(["nats-server"], "the sidecar's process", ({ "nats-server": path }) => {
  let world: World;
  let folder: string;
  let child: ChildProcess;
  let port: number;

  beforeEach(async () => {
    world = await openWorld(path);
    folder = await mkdtemp(join(tmpdir(), "postern-main-"));
    const keys = join(folder, "keys.json");
    await writeFile(keys, JSON.stringify(world.signer.publicJwks));
    port = await freePort();
    child = startMain({
      POSTERN_UPSTREAM_URL: `http://127.0.0.1:${world.upstream.port}`,
      POSTERN_LISTEN: `127.0.0.1:${port}`,
      POSTERN_ADMIN_LISTEN: "127.0.0.1:0",
      POSTERN_NATS_URL: world.nats.url,
      POSTERN_NAMESPACE: WORKLOAD.namespace,
      POSTERN_POD: "orders-main",
      POSTERN_WORKLOAD: WORKLOAD.name,
      POSTERN_BUNDLE_KEYS_FILE: keys,
      POSTERN_STATE_DIR: join(folder, "state"),
    });
    await world.publish(sealed(allowing(["/a", "/slow"]), 1));
    await world.report("current", ({ state }) => state === "current");
  });
  afterEach(async () => {
    child.kill("SIGKILL");
    await world[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** `/slow` waits for the test; what still comes before the signal arrives is answered. */
  function holdSlow(): Promise<Socket> {
    return new Promise((resolve) => {
      world.upstream.answer = ({ head }, socket) => {
        if (head.startsWith("GET /slow ")) resolve(socket);
        else socket.write(OK);
      };
    });
  }

  test("at SIGTERM finishes what is in flight, takes nothing new, says that it leaves, ends with 0", async () => {
    const held = holdSlow();
    const answer = get(port, "/slow");
    const socket = await held;
    const ended = once(child, "close");
    child.kill("SIGTERM");
    await waitFor("no longer accepts", () =>
      get(port, "/a").then(
        () => false,
        () => true,
      ),
    );
    expect(child.exitCode).toBeNull();
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    expect(await answer).toMatchObject({ status: 200, body: "late" });
    expect((await ended)[0]).toBe(0);
    await world.report("leaving", ({ state }) => state === "leaving");
  });

  test("ends at once at a second signal", async () => {
    const held = holdSlow();
    const answer = get(port, "/slow").catch((error: unknown) => error);
    await held;
    const ended = once(child, "close");
    child.kill("SIGTERM");
    await waitFor("no longer accepts", () =>
      get(port, "/a").then(
        () => false,
        () => true,
      ),
    );
    child.kill("SIGTERM");
    expect((await ended)[0]).toBe(1);
    expect(await answer).toMatchObject({ code: "ECONNRESET" });
  });
});
