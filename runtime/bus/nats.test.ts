import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { connect } from "@nats-io/transport-node";
import { BUNDLE_BUCKET, DOCUMENT_BUCKET } from "../../policy/contract.ts";
import { describeWithParts } from "../../test/support/describe-with-parts.ts";
import { startNatsServer } from "../../test/support/nats-server.ts";
import type { NatsServer } from "../../test/support/nats-server.ts";
import { nextOf, waitFor } from "../../test/support/wait.ts";
import { systemClock } from "../clock.ts";
import { silentLog } from "../log.ts";
import { busSuite, bytes, say, textOf, untilHeard } from "./bus.suite.ts";
import type { Bus } from "./bus.ts";
import type { NatsOptions } from "./nats-options.ts";
import { NATS_BUNDLE_BUCKET, NATS_DOCUMENT_BUCKET, connectNats } from "./nats.ts";

const KEY = "shop.orders-1f2e3d4c";

function open(url: string, more: Partial<NatsOptions> = {}): Promise<Bus> {
  return connectNats({
    servers: [url],
    name: "test",
    clock: systemClock,
    log: silentLog,
    signal: new AbortController().signal,
    ensureBuckets: true,
    ...more,
  });
}

async function connected(bus: Bus): Promise<Bus> {
  await waitFor("connected", () => bus.state === "connected");
  return bus;
}

await describeWithParts(["nats-server"], "the bus over NATS", ({ "nats-server": path }) => {
  describe("as every bus", () => {
    let server: NatsServer;
    beforeAll(async () => {
      server = await startNatsServer({ path });
    });
    afterAll(() => server.close());
    busSuite(() => open(server.url));
  });

  test("has the buckets that the contract names", () => {
    expect([NATS_BUNDLE_BUCKET, NATS_DOCUMENT_BUCKET]).toEqual([BUNDLE_BUCKET, DOCUMENT_BUCKET]);
  });

  test("opens without a server, says so with a code, and connects when one comes", async () => {
    await using server = await startNatsServer({ path });
    await server.stop();
    await using bus = await open(server.url);
    expect(bus.state).toBe("disconnected");
    await expect(bus.bundles.put(KEY, bytes("x"))).rejects.toMatchObject({
      code: "bus.unavailable",
    });
    const before = bus.dropped;
    bus.publish("a.b", bytes("x"));
    expect(bus.dropped).toBe(before + 1);
    const states = bus.states(new AbortController().signal)[Symbol.asyncIterator]();
    expect(await nextOf(states, "the state")).toBe("disconnected");
    await server.start();
    expect(await nextOf(states, "the connection")).toBe("connected");
    await bus.bundles.put(KEY, bytes("one"));
  });

  test("closes while no server answers", async () => {
    await using server = await startNatsServer({ path });
    await server.stop();
    const bus = await open(server.url);
    await bus.close();
    expect(bus.state).toBe("disconnected");
  });

  test("comes back after the server was killed: watch, messages and writes go on", async () => {
    await using server = await startNatsServer({ path });
    await using bus = await connected(await open(server.url));
    const control = new AbortController();
    await bus.bundles.put(KEY, bytes("one"));
    const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
    const messages = bus.subscribe("a.*", control.signal)[Symbol.asyncIterator]();
    expect(say(await nextOf(updates, "the value"))).toBe("put:one");
    await server.kill();
    await waitFor("disconnected", () => bus.state === "disconnected");
    const dropped = bus.dropped;
    bus.publish("a.b", bytes("lost"));
    expect(bus.dropped).toBe(dropped + 1);
    await expect(bus.bundles.get(KEY)).rejects.toMatchObject({ code: "bus.unavailable" });

    await server.start();
    expect(say(await nextOf(updates, "the value again"))).toBe("put:one");
    await bus.bundles.put(KEY, bytes("two"));
    expect(say(await nextOf(updates, "the next value"))).toBe("put:two");
    expect((await untilHeard(bus, messages, "a.b")).subject).toBe("a.b");
    control.abort();
  });

  test("comes back to a server that lost everything, and makes the bucket anew", async () => {
    await using server = await startNatsServer({ path });
    await using controller = await connected(await open(server.url));
    await controller.bundles.put(KEY, bytes("one"));
    await using sidecar = await connected(await open(server.url, { ensureBuckets: false }));
    const control = new AbortController();
    const updates = sidecar.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
    expect(say(await nextOf(updates, "the value"))).toBe("put:one");

    await server.kill();
    await server.wipe();
    await server.start();
    await waitFor("written again", () =>
      controller.bundles.put(KEY, bytes("again")).then(
        () => true,
        () => false,
      ),
    );
    let last = "";
    while (last !== "put:again") last = say(await nextOf(updates, "the republished value"));
    await controller.bundles.put(KEY, bytes("more"));
    expect(say(await nextOf(updates, "the next value"))).toBe("put:more");
    control.abort();
  });

  test("notices that the bucket was deleted while it stayed connected", async () => {
    await using server = await startNatsServer({ path });
    await using bus = await connected(await open(server.url, { watchHeartbeatMs: 200 }));
    const control = new AbortController();
    await bus.bundles.put(KEY, bytes("one"));
    const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
    expect(say(await nextOf(updates, "the value"))).toBe("put:one");
    const raw = await connect({ servers: server.url });
    const manager = await jetstreamManager(raw);
    await manager.streams.delete(`KV_${BUNDLE_BUCKET}`);
    await raw.close();
    expect(say(await nextOf(updates, "the loss"))).toBe("removed");
    await bus.bundles.put(KEY, bytes("two"));
    expect(say(await nextOf(updates, "the next value"))).toBe("put:two");
    control.abort();
  });

  test("a sidecar's watch waits for a bucket that does not exist yet", async () => {
    await using server = await startNatsServer({ path });
    await using sidecar = await connected(await open(server.url, { ensureBuckets: false }));
    const control = new AbortController();
    const updates = sidecar.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
    const first = updates.next();
    await expect(sidecar.bundles.put(KEY, bytes("x"))).rejects.toMatchObject({
      code: "bus.unavailable",
    });
    await using controller = await connected(await open(server.url));
    await controller.bundles.put(KEY, bytes("one"));
    const update = await first;
    const seen = update.done === true ? "" : say(update.value);
    expect(seen === "removed" ? say(await nextOf(updates, "the value")) : seen).toBe("put:one");
    control.abort();
  });

  test("refuses a document whose bytes are not those that were named", async () => {
    await using server = await startNatsServer({ path });
    await using bus = await connected(await open(server.url));
    await bus.documents.put(bytes("genuine"));
    const raw = await connect({ servers: server.url });
    const store = await new Objm(jetstream(raw)).open(DOCUMENT_BUCKET);
    const name = createHash("sha256").update("genuine").digest("hex");
    await store.putBlob({ name }, bytes("forgery"));
    await raw.close();
    await expect(bus.documents.get(name)).rejects.toMatchObject({ code: "bus.rejected" });
  });

  test("refuses a value above the limit with a code", async () => {
    await using server = await startNatsServer({ path });
    await using bus = await connected(await open(server.url));
    await expect(bus.bundles.put(KEY, new Uint8Array(1024 * 1024 + 1))).rejects.toMatchObject({
      code: "bus.rejected",
    });
  });

  test("reads its token anew at each connect", async () => {
    await using server = await startNatsServer({ path, args: ["--auth", "right"] });
    const folder = await mkdtemp(join(tmpdir(), "postern-token-"));
    const file = join(folder, "token");
    try {
      await using bus = await open(server.url, { credentials: { kind: "token-file", path: file } });
      const control = new AbortController();
      const states = bus.states(control.signal)[Symbol.asyncIterator]();
      expect(await nextOf(states, "the state")).toBe("disconnected");
      await writeFile(file, "wrong\n");
      await writeFile(file, "right\n");
      expect(await nextOf(states, "the connection")).toBe("connected");
      await bus.bundles.put(KEY, bytes("one"));
      expect(textOf(await bus.bundles.get(KEY))).toBe("one");
      control.abort();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
