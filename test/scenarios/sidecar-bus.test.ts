/** Policy reaches a sidecar over a real NATS, and no trouble with the bus opens or closes anything. */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { createSigner, generateSigningJwk } from "../../controller/sign.ts";
import { canonicalJson } from "../../policy/encode.ts";
import { nextOf, waitFor } from "../support/wait.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { KEY, WORKLOAD, allowing, get, openWorld, sealed, sign } from "./sidecar-world.ts";
import type { World } from "./sidecar-world.ts";

await describeWithParts(["nats-server"], "a sidecar on the bus", ({ "nats-server": path }) => {
  let world: World;
  beforeEach(async () => {
    world = await openWorld(path);
  });
  afterEach(async () => world[Symbol.asyncDispose]());

  test("refuses everything while it waits, then enforces what is published, and says so", async () => {
    const sidecar = await world.sidecar();
    const { port } = sidecar.address;
    expect(await get(port, "/a")).toMatchObject({ status: 503, code: "policy.waiting" });
    await world.report("waiting", ({ state }) => state === "waiting");
    const ready = `/readyz`;
    expect((await get(sidecar.adminAddress?.port ?? 0, ready)).status).toBe(503);

    const bundle = sealed(allowing(["/a"]), 1);
    await world.publish(bundle);
    const report = await world.report("revision 1", (r) => r.enforced?.revision === 1);
    expect(report).toMatchObject({
      workload: WORKLOAD,
      pod: "orders-1",
      state: "current",
      enforced: { revision: 1, digest: bundle.digest, policies: bundle.policies },
    });
    expect(report.refused).toBeUndefined();
    expect((await get(sidecar.adminAddress?.port ?? 0, ready)).status).toBe(200);
    expect((await get(port, "/a")).status).toBe(200);
    expect(await get(port, "/b")).toMatchObject({ status: 403, code: "operation.undeclared" });

    await world.publish(sealed(allowing(["/b"]), 2));
    await world.report("revision 2", (r) => r.enforced?.revision === 2);
    expect(await get(port, "/a")).toMatchObject({ status: 403, code: "operation.undeclared" });
    expect((await get(port, "/b")).status).toBe(200);
    const metrics = (await get(sidecar.adminAddress?.port ?? 0, "/metrics")).body;
    expect(metrics).toContain("postern_bundle_revision 2\n");
    expect(metrics).toContain("postern_bundle_swaps_total 2\n");
    const shown = (await get(sidecar.adminAddress?.port ?? 0, "/debug/bundle")).body;
    expect(JSON.parse(shown)).toMatchObject({ state: "current", bundle: { revision: 2 } });
  });

  test("says at shutdown that it leaves", async () => {
    const sidecar = await world.sidecar();
    await world.publish(sealed(allowing(["/a"]), 1));
    await world.report("revision 1", (r) => r.enforced?.revision === 1);
    await sidecar.close();
    await world.report("leaving", ({ state }) => state === "leaving");
    await expect(get(sidecar.address.port, "/a")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  describe("refuses, reports and keeps the current one:", () => {
    const stranger = createSigner(generateSigningJwk());
    const content = allowing(["/forged"]);
    const table: readonly (readonly [string, string, (w: World) => Uint8Array])[] = [
      ["a forged bundle", "bundle.signature", () => sign(sealed(content, 9), stranger)],
      ["a replayed bundle", "bundle.replayed", (w) => sign(sealed(content, 3), w.signer)],
      [
        "another content under its revision",
        "bundle.replayed",
        (w) => sign(sealed(content, 5), w.signer),
      ],
      [
        "a truncated bundle",
        "bundle.signature",
        (w) => sign(sealed(content, 9), w.signer).slice(0, -20),
      ],
      ["half a bundle", "bundle.malformed", (w) => sign(sealed(content, 9), w.signer).slice(0, 60)],
      ["bytes that are no JWS", "bundle.malformed", () => Buffer.from("{}")],
      ["nothing", "bundle.malformed", () => new Uint8Array()],
      [
        "the bundle of another workload",
        "bundle.workload",
        (w) => {
          const workload = { namespace: "shop", name: "billing-00000000" };
          return sign(sealed({ ...content, workload }, 9), w.signer);
        },
      ],
      [
        "a bundle of a newer schema",
        "bundle.version",
        (w) =>
          w.signer.sign(Buffer.from(canonicalJson({ ...sealed(content, 9), schemaVersion: 3 }))),
      ],
      [
        "a bundle with an unknown field",
        "bundle.unknown",
        (w) => w.signer.sign(Buffer.from(canonicalJson({ ...sealed(content, 9), magic: true }))),
      ],
      [
        "a bundle whose digest is of something else",
        "bundle.digest",
        (w) =>
          w.signer.sign(
            Buffer.from(
              canonicalJson({ ...sealed(content, 9), digest: `sha256:${"0".repeat(64)}` }),
            ),
          ),
      ],
      [
        "a bundle from too long ago",
        "bundle.stale",
        (w) => sign(sealed(content, 9, Date.now() - 25 * 60 * 60_000), w.signer),
      ],
    ];

    test.each(table)("%s (%s)", async (_name, code, make) => {
      const sidecar = await world.sidecar();
      await world.publish(sealed(allowing(["/a"]), 5));
      await world.report("revision 5", (r) => r.enforced?.revision === 5);
      await world.bus.bundles.put(KEY, make(world));
      const report = await world.report("the refusal", (r) => r.refused !== undefined);
      expect(report).toMatchObject({
        state: "current",
        enforced: { revision: 5 },
        refused: { code },
      });
      expect(report.refused?.detail).not.toBe("");
      expect((await get(sidecar.address.port, "/a")).status).toBe(200);
      expect((await get(sidecar.address.port, "/forged")).status).toBe(403);

      await world.publish(sealed(allowing(["/b"]), 10));
      const after = await world.report("revision 10", (r) => r.enforced?.revision === 10);
      expect(after.refused).toBeUndefined();
    });
  });

  test("a removed key neither opens nor closes anything", async () => {
    const sidecar = await world.sidecar();
    await world.publish(sealed(allowing(["/a"]), 1));
    await world.report("revision 1", (r) => r.enforced?.revision === 1);
    await world.bus.bundles.remove(KEY);
    const control = new AbortController();
    const updates = world.bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
    expect((await nextOf(updates, "the removal")).kind).toBe("removed");
    control.abort();
    expect((await get(sidecar.address.port, "/a")).status).toBe(200);
    expect((await get(sidecar.address.port, "/b")).status).toBe(403);
  });

  test("decides on while NATS is stopped, and takes up the news when it is back", async () => {
    const sidecar = await world.sidecar();
    await world.publish(sealed(allowing(["/a"]), 1));
    await world.report("revision 1", (r) => r.enforced?.revision === 1);
    await world.nats.kill();
    await waitFor("disconnected", () => world.bus.state === "disconnected");
    expect((await get(sidecar.address.port, "/a")).status).toBe(200);
    expect((await get(sidecar.address.port, "/b")).status).toBe(403);
    const before = world.reports.length;
    await world.nats.start();
    await waitFor("a report after the reconnect", () => world.reports.length > before);
    await world.publish(sealed(allowing(["/b"]), 2));
    await world.report("revision 2", (r) => r.enforced?.revision === 2);
    expect((await get(sidecar.address.port, "/b")).status).toBe(200);
  });

  test("recovers from a NATS that was restarted empty, as soon as bundles are republished", async () => {
    const sidecar = await world.sidecar();
    await world.publish(sealed(allowing(["/a"]), 1));
    await world.report("revision 1", (r) => r.enforced?.revision === 1);
    await world.nats.kill();
    await world.nats.wipe();
    await world.nats.start();
    expect((await get(sidecar.address.port, "/a")).status).toBe(200);
    const again = sealed(allowing(["/b"]), 2);
    await waitFor("republished", () =>
      world.publish(again).then(
        () => true,
        () => false,
      ),
    );
    await world.report("revision 2", (r) => r.enforced?.revision === 2);
    expect((await get(sidecar.address.port, "/b")).status).toBe(200);
    expect((await get(sidecar.address.port, "/a")).status).toBe(403);
  });
});
