/** What every bus promises, run against each implementation. */
import { createHash, randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { nextOf, waitFor } from "../../test/support/wait.ts";
import { SLOW_READER_MESSAGES } from "./bus.ts";
import type { Bus, BusMessage, KeyUpdate } from "./bus.ts";

const KEY = "shop.orders-1f2e3d4c";

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

/** `put:text` or `removed`, which reads better in a failure than bytes. */
export function say(update: KeyUpdate): string {
  return update.kind === "put" ? `put:${textOf(update.value) ?? ""}` : "removed";
}

/** Publishing is at most once, and a new subscription takes a moment: repeats until the first message comes. */
export async function untilHeard(
  bus: Bus,
  reader: AsyncIterator<BusMessage>,
  subject: string,
): Promise<BusMessage> {
  const first = reader.next();
  let heard: BusMessage | undefined;
  void first.then((result) => {
    if (result.done !== true) heard = result.value;
  });
  return waitFor(`a message on ${subject}`, () => {
    bus.publish(subject, bytes("probe"));
    return heard;
  });
}

export function busSuite(open: () => Promise<Bus>): void {
  let bus: Bus;
  let control: AbortController;

  beforeEach(async () => {
    bus = await open();
    control = new AbortController();
    await waitFor("connected", () => bus.state === "connected");
    for (const key of await bus.bundles.keys()) await bus.bundles.remove(key);
  });
  afterEach(async () => {
    control.abort();
    await bus.close();
  });

  describe("bundles", () => {
    test("get() what was put, and undefined where nothing was", async () => {
      expect(await bus.bundles.get(KEY)).toBeUndefined();
      await bus.bundles.put(KEY, bytes("one"));
      await bus.bundles.put(KEY, bytes("two"));
      expect(textOf(await bus.bundles.get(KEY))).toBe("two");
    });

    test("remove() makes a key absent, twice without harm", async () => {
      await bus.bundles.put(KEY, bytes("one"));
      await bus.bundles.remove(KEY);
      await bus.bundles.remove(KEY);
      expect(await bus.bundles.get(KEY)).toBeUndefined();
      expect(await bus.bundles.keys()).toEqual([]);
    });

    test("keys() names every key once, and none that was removed", async () => {
      await bus.bundles.put("a.x", bytes("1"));
      await bus.bundles.put("a.y", bytes("1"));
      await bus.bundles.put("b.x", bytes("1"));
      await bus.bundles.put("b.x", bytes("2"));
      await bus.bundles.remove("a.y");
      expect((await bus.bundles.keys()).toSorted()).toEqual(["a.x", "b.x"]);
    });

    test("watch() gives the current value first, then every change", async () => {
      await bus.bundles.put(KEY, bytes("one"));
      const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      expect(say(await nextOf(updates, "the first value"))).toBe("put:one");
      await bus.bundles.put(KEY, bytes("two"));
      expect(say(await nextOf(updates, "the second value"))).toBe("put:two");
      await bus.bundles.remove(KEY);
      expect(say(await nextOf(updates, "the removal"))).toBe("removed");
      await bus.bundles.put(KEY, bytes("three"));
      expect(say(await nextOf(updates, "the third value"))).toBe("put:three");
    });

    test("watch() says removed first where there is no value", async () => {
      const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      expect(say(await nextOf(updates, "the absence"))).toBe("removed");
      await bus.bundles.put(KEY, bytes("one"));
      expect(say(await nextOf(updates, "the first value"))).toBe("put:one");
    });

    test("watch() says nothing of other keys", async () => {
      const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      await nextOf(updates, "the absence");
      await bus.bundles.put(`${KEY}.more`, bytes("other"));
      await bus.bundles.put("shop", bytes("other"));
      await bus.bundles.put(KEY, bytes("mine"));
      expect(say(await nextOf(updates, "my value"))).toBe("put:mine");
    });

    test("watch() keeps only the newest value for a slow reader", async () => {
      const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      await nextOf(updates, "the absence");
      const fast = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      await nextOf(fast, "the absence");
      for (let n = 1; n <= 50; n += 1) await bus.bundles.put(KEY, bytes(String(n)));
      for (let seen = ""; seen !== "put:50";) seen = say(await nextOf(fast, "the newest value"));
      // Two watches may differ by a moment, but the slow reader was not kept fifty values.
      const read: string[] = [];
      while (read.at(-1) !== "put:50") read.push(say(await nextOf(updates, "the newest value")));
      expect(read.length).toBeLessThan(5);
    });

    test("watch() ends with its signal", async () => {
      const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      await nextOf(updates, "the absence");
      const end = updates.next();
      control.abort();
      expect((await end).done).toBe(true);
    });

    test("refuses an aborted signal and a closed bus with their codes", async () => {
      await expect(bus.bundles.put(KEY, bytes("x"), AbortSignal.abort())).rejects.toMatchObject({
        code: "aborted",
      });
      await bus.close();
      await expect(bus.bundles.put(KEY, bytes("x"))).rejects.toMatchObject({
        code: "bus.unavailable",
      });
      await expect(bus.bundles.get(KEY)).rejects.toMatchObject({ code: "bus.unavailable" });
    });

    test.each(["", "a..b", "a.*", ">", "a b"])("refuses the key %j", async (key) => {
      await expect(bus.bundles.put(key, bytes("x"))).rejects.toThrow(TypeError);
      expect(() => bus.bundles.watch(key, control.signal)).toThrow(TypeError);
    });
  });

  describe("messages", () => {
    test("reach every subscription whose pattern matches, and no other", async () => {
      const patterns = ["postern.ack.*.orders.pod-0", "postern.ack.>", "postern.other.>"];
      const [star, all, other] = patterns.map((pattern) =>
        bus.subscribe(pattern, control.signal)[Symbol.asyncIterator](),
      ) as [AsyncIterator<BusMessage>, AsyncIterator<BusMessage>, AsyncIterator<BusMessage>];
      const subject = "postern.ack.shop.orders.pod-0";
      expect((await untilHeard(bus, star, subject)).subject).toBe(subject);
      expect((await nextOf(all, "the message")).subject).toBe(subject);
      expect((await untilHeard(bus, other, "postern.other.x")).subject).toBe("postern.other.x");
    });

    test("come in order", async () => {
      const reader = bus.subscribe("n.*", control.signal)[Symbol.asyncIterator]();
      await untilHeard(bus, reader, "n.probe");
      for (let n = 0; n < 100; n += 1) bus.publish("n.go", bytes(String(n)));
      const seen: (string | undefined)[] = [];
      while (seen.length < 100) {
        const message = await nextOf(reader, "the next message");
        if (message.subject === "n.go") seen.push(textOf(message.data));
      }
      expect(seen).toEqual(Array.from({ length: 100 }, (_, n) => String(n)));
    });

    test("wait for a slow reader up to the limit; then the oldest are dropped and counted", async () => {
      const slow = bus.subscribe("flood.*", control.signal)[Symbol.asyncIterator]();
      await untilHeard(bus, slow, "flood.probe");
      const fast = bus.subscribe("flood.end", control.signal)[Symbol.asyncIterator]();
      const before = bus.dropped;
      for (let n = 0; n < SLOW_READER_MESSAGES + 500; n += 1) {
        bus.publish("flood.go", bytes(String(n)));
      }
      await untilHeard(bus, fast, "flood.end");
      expect(bus.dropped - before).toBeGreaterThanOrEqual(500);
      const first = await nextOf(slow, "the oldest that was kept");
      expect(Number(textOf(first.data))).toBeGreaterThanOrEqual(500);
    });

    test("end with the signal", async () => {
      const reader = bus.subscribe("a.b", control.signal)[Symbol.asyncIterator]();
      const end = reader.next();
      control.abort();
      expect((await end).done).toBe(true);
    });

    test.each(["", "a b", "a.*", "a.>", "a\r\nb"])("refuse the subject %j", (subject) => {
      expect(() => bus.publish(subject, bytes("x"))).toThrow(TypeError);
    });
  });

  describe("documents", () => {
    test("are named by their digest, and come back whole", async () => {
      const document = randomBytes(3 * 1024 * 1024);
      const sha256 = await bus.documents.put(document);
      expect(sha256).toBe(createHash("sha256").update(document).digest("hex"));
      const read = await bus.documents.get(sha256);
      expect(read !== undefined && Buffer.compare(read, document)).toBe(0);
    });

    test("can be put twice", async () => {
      const sha256 = await bus.documents.put(bytes("same"));
      expect(await bus.documents.put(bytes("same"))).toBe(sha256);
      expect(textOf(await bus.documents.get(sha256))).toBe("same");
    });

    test("are undefined where the bus has none", async () => {
      expect(await bus.documents.get("0".repeat(64))).toBeUndefined();
    });
  });

  describe("the bus itself", () => {
    test("tells its present state first", async () => {
      const states = bus.states(control.signal)[Symbol.asyncIterator]();
      expect(await nextOf(states, "the state")).toBe("connected");
    });

    test("ends every reader when it closes, and closes twice without harm", async () => {
      const updates = bus.bundles.watch(KEY, control.signal)[Symbol.asyncIterator]();
      await nextOf(updates, "the absence");
      const waiting = [
        updates.next(),
        bus.subscribe("a", control.signal)[Symbol.asyncIterator]().next(),
      ];
      await Promise.all([bus.close(), bus.close()]);
      for (const result of await Promise.all(waiting)) expect(result.done).toBe(true);
    });

    test("drops and counts what is published after its end", async () => {
      await bus.close();
      const before = bus.dropped;
      bus.publish("a.b", bytes("x"));
      expect(bus.dropped).toBe(before + 1);
    });
  });
}
