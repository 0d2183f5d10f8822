/** Withheld policy shows: a bundle that nobody renews grows stale, and then everything is refused. */
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { ManualClock } from "../../runtime/clock.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { waitFor } from "../support/wait.ts";
import { allowing, get, openWorld, sealed } from "./sidecar-world.ts";
import type { World } from "./sidecar-world.ts";

const HOUR_MS = 60 * 60_000;

await describeWithParts(["nats-server"], "a sidecar and time", ({ "nats-server": path }) => {
  let world: World;
  beforeEach(async () => {
    world = await openWorld(path);
  });
  afterEach(async () => world[Symbol.asyncDispose]());

  test("refuses everything after maxStale, and enforces again after a renewal", async () => {
    const clock = new ManualClock();
    const sidecar = await world.sidecar({ clock, maxStaleMs: HOUR_MS });
    const content = allowing(["/a"]);
    await world.publish(sealed(content, 1, clock.now()));
    await world.report("current", ({ state }) => state === "current");
    await clock.advance(HOUR_MS - 1_000);
    expect((await get(sidecar.address.port, "/a")).status).toBe(200);

    await clock.advance(1_000);
    await world.report("stale", ({ state }) => state === "stale");
    expect(await get(sidecar.address.port, "/a")).toMatchObject({
      status: 503,
      code: "policy.stale",
    });
    const ready = await get(sidecar.adminAddress?.port ?? 0, "/readyz");
    expect(ready.status).toBe(503);
    expect(ready.body).toContain("too old");

    const swaps = sidecar.metrics.value("postern_bundle_swaps_total");
    await world.publish(sealed(content, 1, clock.now()));
    await waitFor("current again", () => sidecar.store.state.kind === "current");
    expect((await get(sidecar.address.port, "/a")).status).toBe(200);
    expect(sidecar.metrics.value("postern_bundle_swaps_total")).toBe(swaps);
  });

  test("is stale at once with a bundle that was old when it came", async () => {
    const clock = new ManualClock();
    const sidecar = await world.sidecar({ clock, maxStaleMs: HOUR_MS });
    await world.publish(sealed(allowing(["/a"]), 1, clock.now() - 2 * HOUR_MS));
    await world.report("stale", ({ state }) => state === "stale");
    expect(await get(sidecar.address.port, "/a")).toMatchObject({ code: "policy.stale" });
  });
});
