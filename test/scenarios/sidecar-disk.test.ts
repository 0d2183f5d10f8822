/** A restarted sidecar enforces what it last verified, before NATS answers. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { createSigner, generateSigningJwk } from "../../controller/sign.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { waitFor } from "../support/wait.ts";
import { allowing, get, openWorld, sealed, sign } from "./sidecar-world.ts";
import type { World } from "./sidecar-world.ts";

await describeWithParts(["nats-server"], "a sidecar with a disk", ({ "nats-server": path }) => {
  let world: World;
  beforeEach(async () => {
    world = await openWorld(path);
  });
  afterEach(async () => world[Symbol.asyncDispose]());

  const file = (): string => join(world.stateDir, "bundle.jws");
  const keep = async (revision: number): Promise<void> => {
    const first = await world.sidecar();
    const bundle = sealed(allowing(["/a"]), revision);
    await world.publish(bundle);
    const bytes = Buffer.from(sign(bundle, world.signer)).toString("latin1");
    await waitFor("kept on disk", () =>
      readFile(file(), "latin1").then(
        (text) => text === bytes,
        () => false,
      ),
    );
    await first.close();
  };

  test("enforces the kept bundle while no NATS answers", async () => {
    await keep(1);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    await world.nats.stop();
    const second = await world.sidecar();
    await second.whenReady(AbortSignal.timeout(5_000));
    expect((await get(second.address.port, "/a")).status).toBe(200);
    expect((await get(second.address.port, "/b")).status).toBe(403);
    await world.nats.start();
    await world.report("from the second", (r) => r.pod === "orders-2" && r.state === "current");
  });

  test("refuses an older bundle from the bus than the kept one", async () => {
    await keep(5);
    await world.publish(sealed(allowing(["/old"]), 4));
    const second = await world.sidecar();
    const report = await world.report("the refusal", (r) => r.refused !== undefined);
    expect(report).toMatchObject({
      enforced: { revision: 5 },
      refused: { code: "bundle.replayed" },
    });
    expect((await get(second.address.port, "/old")).status).toBe(403);
  });

  test.each<readonly [string, (w: World) => Uint8Array]>([
    ["forged", () => sign(sealed(allowing(["/evil"]), 9), createSigner(generateSigningJwk()))],
    ["truncated", (w) => sign(sealed(allowing(["/evil"]), 9), w.signer).slice(0, 100)],
    ["empty", () => new Uint8Array()],
    ["too large", () => new Uint8Array(2 * 1024 * 1024)],
  ])("does not believe a kept bundle that is %s", async (_name, make) => {
    await writeFile(file(), make(world));
    await world.nats.stop();
    const sidecar = await world.sidecar();
    expect(sidecar.store.state.kind).toBe("waiting");
    expect(await get(sidecar.address.port, "/evil")).toMatchObject({ code: "policy.waiting" });
    await world.nats.start();
    await waitFor("published", () =>
      world.publish(sealed(allowing(["/a"]), 1)).then(
        () => true,
        () => false,
      ),
    );
    await world.report("revision 1", (r) => r.enforced?.revision === 1);
    expect((await get(sidecar.address.port, "/a")).status).toBe(200);
  });
});
