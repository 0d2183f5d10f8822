import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { BundleContent } from "../policy/bundle.ts";
import { closed } from "../policy/closed.ts";
import { bundleKey, RENEW_AFTER_MS } from "../policy/contract.ts";
import { readBundle } from "../policy/read-bundle.ts";
import type { Bus, BusState, KeyValue } from "../runtime/bus/bus.ts";
import { InProcessBus } from "../runtime/bus/in-process.ts";
import { ManualClock } from "../runtime/clock.ts";
import { PosternError } from "../runtime/error.ts";
import { silentLog } from "../runtime/log.ts";
import { waitFor } from "../test/support/wait.ts";
import { KEYS_PENDING } from "./keys/key-sets.ts";
import { createPublisher } from "./publish.ts";
import type { Publisher } from "./publish.ts";
import { createSigner, generateSigningJwk } from "./sign.ts";
import { createTicks } from "./ticks.ts";

const ORDERS = { namespace: "shop", name: "orders" };
const KEY = bundleKey(ORDERS);
const signer = createSigner(generateSigningJwk());

/** The real bus inside this process, with a plug that can be pulled. */
class PluggedBus extends InProcessBus {
  puts = 0;
  #state: BusState = "connected";
  readonly #changes = createTicks();

  get kv(): KeyValue {
    const kv = this.bundles;
    const plugged = async <T>(act: () => Promise<T>): Promise<T> => {
      if (this.#state === "disconnected") throw new PosternError("bus.unavailable", "unplugged");
      return act();
    };
    return {
      put: (key, value, signal) =>
        plugged(async () => {
          this.puts += 1;
          await kv.put(key, value, signal);
        }),
      get: (key, signal) => plugged(() => kv.get(key, signal)),
      remove: (key, signal) => plugged(() => kv.remove(key, signal)),
      keys: (signal) => plugged(() => kv.keys(signal)),
      watch: (key, signal) => kv.watch(key, signal),
    };
  }

  plug(state: BusState): void {
    this.#state = state;
    this.#changes.tick();
  }

  asBus(): Bus {
    const state = (): BusState => this.#state;
    const changes = this.#changes;
    return {
      bundles: this.kv,
      documents: this.documents,
      publish: (subject, data) => this.publish(subject, data),
      subscribe: (pattern, signal) => this.subscribe(pattern, signal),
      get state() {
        return state();
      },
      async *states(signal) {
        const each = changes.each(signal);
        yield state();
        for await (const _ of each) yield state();
      },
      dropped: 0,
      close: () => this.close(),
      [Symbol.asyncDispose]: () => this.close(),
    };
  }
}

function content(detail: string, workload = ORDERS): BundleContent {
  return closed(workload, "policy.none", detail);
}

describe("createPublisher()", () => {
  let clock: ManualClock;
  let bus: PluggedBus;
  let ending: AbortController;
  let running: Promise<void>;

  beforeEach(() => {
    clock = new ManualClock();
    bus = new PluggedBus();
    ending = new AbortController();
  });
  afterEach(async () => {
    ending.abort();
    await running;
    await bus.close();
  });

  function start(): Publisher {
    const publisher = createPublisher({ bus: bus.asBus(), signer, clock, log: silentLog });
    running = publisher.run(ending.signal);
    return publisher;
  }

  async function restart(): Promise<Publisher> {
    ending.abort();
    await running;
    ending = new AbortController();
    return start();
  }

  async function onBus(key = KEY): Promise<ReturnType<typeof readBundle> | undefined> {
    const bytes = await bus.bundles.get(key);
    const payload = bytes === undefined ? undefined : signer.verify(bytes);
    return payload === undefined
      ? undefined
      : readBundle(JSON.parse(Buffer.from(payload).toString()));
  }

  const revisionOnBus = async (): Promise<number> => {
    const reading = await onBus();
    return reading?.kind === "bundle" ? reading.bundle.revision : 0;
  };
  const confirmed = (publisher: Publisher, revision?: number): Promise<boolean> =>
    waitFor("the bundle is confirmed", () => {
      const now = publisher.published(ORDERS);
      return now !== undefined && (revision === undefined || now.revision > revision);
    });
  const digestIs = (publisher: Publisher, wanted: BundleContent): Promise<boolean> =>
    waitFor("the content is confirmed", async () => {
      const reading = await onBus();
      return (
        reading?.kind === "bundle" &&
        reading.bundle.closed?.detail === wanted.closed?.detail &&
        publisher.published(ORDERS)?.digest === reading.bundle.digest
      );
    });

  test("puts a signed bundle, whose revision is the time", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    expect(await onBus()).toMatchObject({
      kind: "bundle",
      bundle: { workload: ORDERS, revision: clock.now(), issuedAtMs: clock.now() },
    });
    expect(publisher.published(ORDERS)).toMatchObject({ revision: clock.now(), policies: [] });
  });

  test("publishes only what changed, and revisions grow even when time stands still", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    const first = await revisionOnBus();
    publisher.want([content("a")]);
    publisher.want([content("b")]);
    await digestIs(publisher, content("b"));
    expect(await revisionOnBus()).toBe(first + 1);
    expect(bus.puts).toBe(2);
  });

  test("after a restart publishes nothing anew, and goes on with the revisions", async () => {
    let publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    const first = await revisionOnBus();
    publisher = await restart();
    publisher.want([content("a")]);
    await waitFor("the bus is read", () => publisher.synced);
    await confirmed(publisher);
    expect(bus.puts).toBe(1);
    publisher.want([content("b")]);
    await digestIs(publisher, content("b"));
    expect(await revisionOnBus()).toBe(first + 1);
  });

  test("replaces what somebody else has put there", async () => {
    const other = createSigner(generateSigningJwk());
    await bus.bundles.put(KEY, other.sign(Buffer.from("{}")));
    const publisher = start();
    publisher.want([content("a")]);
    await digestIs(publisher, content("a"));
  });

  test("publishes again what the bus has lost while it was away", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    bus.plug("disconnected");
    await bus.bundles.remove(KEY);
    bus.plug("connected");
    await digestIs(publisher, content("a"));
    expect(bus.puts).toBe(2);
  });

  test("publishes the newest only, once the bus is back", async () => {
    bus.plug("disconnected");
    const publisher = start();
    publisher.want([content("a")]);
    publisher.want([content("b")]);
    expect(publisher.published(ORDERS)).toBeUndefined();
    expect(publisher.synced).toBe(false);
    bus.plug("connected");
    await digestIs(publisher, content("b"));
    expect(bus.puts).toBe(1);
  });

  test("renews an unchanged bundle before it grows old, and its content stays since when it was", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    const first = publisher.published(ORDERS);
    await clock.advance(RENEW_AFTER_MS - 1);
    expect(bus.puts).toBe(1);
    await waitFor("the renewal", async () => {
      await clock.advance(5_000);
      return bus.puts === 2;
    });
    await waitFor("the renewal is confirmed", async () => {
      const reading = await onBus();
      return reading?.kind === "bundle" && reading.bundle.issuedAtMs > (first?.sinceMs ?? 0);
    });
    // The same revision: a sidecar learns the age and need not prepare anything, and no status changes.
    expect(await revisionOnBus()).toBe(first?.revision);
    expect(publisher.published(ORDERS)).toMatchObject({
      revision: first?.revision,
      digest: first?.digest,
      sinceMs: first?.sinceMs,
    });
  });

  test("removes the bundle of a workload that is gone for a minute", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    publisher.want([]);
    await clock.advance(59_000);
    expect(await onBus()).toBeDefined();
    await waitFor("it is removed", async () => {
      await clock.advance(5_000);
      return (await onBus()) === undefined;
    });
    expect(publisher.published(ORDERS)).toBeUndefined();
  });

  test("a workload that comes back in time keeps its bundle", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    publisher.want([]);
    await clock.advance(50_000);
    publisher.want([content("a")]);
    await clock.advance(120_000);
    expect(bus.puts).toBe(1);
    expect(await onBus()).toBeDefined();
  });

  test("removes nothing before it knows what there should be", async () => {
    let publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    publisher = await restart();
    await waitFor("the bus is read", () => publisher.synced);
    await clock.advance(10 * 60_000);
    expect(await onBus()).toBeDefined();
  });

  test("jumps over the revision of a sidecar that refuses ours as a replay", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    const theirs = clock.now() + 3_600_000;
    publisher.jump(ORDERS, theirs);
    await confirmed(publisher, theirs);
    expect(await revisionOnBus()).toBe(theirs + 1);
  });

  test("does not follow a revision that lies more than a day ahead", async () => {
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    publisher.jump(ORDERS, clock.now() + 25 * 3_600_000);
    publisher.want([content("b")]);
    await digestIs(publisher, content("b"));
    expect(await revisionOnBus()).toBeLessThan(clock.now() + 1_000);
  });

  test("holds a bundle whose keys are only just being fetched, and not for ever", async () => {
    const pending: BundleContent = {
      workload: ORDERS,
      policies: [],
      layers: [
        {
          policy: { kind: "ApiSecurityPolicy", namespace: "shop", name: "p", generation: 1 },
          tier: "workload",
          authentication: {
            mode: "Enforce",
            anonymous: "Deny",
            providers: [
              {
                kind: "jwt",
                name: "corp",
                issuer: "i",
                audiences: [],
                algorithms: ["EdDSA"],
                locations: [],
                clockSkewSeconds: 0,
                keys: { kind: "unavailable", reason: KEYS_PENDING },
                claimsToHeaders: [],
              },
            ],
          },
        },
      ],
    };
    const publisher = start();
    publisher.want([content("a")]);
    await confirmed(publisher);
    const before = publisher.published(ORDERS);
    publisher.want([pending]);
    await clock.advance(7_000);
    publisher.want([pending]);
    expect(publisher.published(ORDERS)).toEqual(before);
    await clock.advance(2_000);
    publisher.want([pending]);
    await waitFor("it is published all the same", () => bus.puts === 2);
  });

  test("says why it could not publish, and tries again", async () => {
    const publisher = start();
    await waitFor("the bus is read", () => publisher.synced);
    const limit = new PosternError("bus.rejected", "too large");
    const real = bus.kv;
    let refusals = 3;
    const picky = createPublisher({
      bus: {
        ...bus.asBus(),
        state: "connected",
        bundles: {
          ...real,
          put: async (key, value, signal) => {
            if (refusals-- > 0) throw limit;
            await real.put(key, value, signal);
          },
        },
      },
      signer,
      clock,
      log: silentLog,
    });
    const end = new AbortController();
    const run = picky.run(end.signal);
    picky.want([content("a")]);
    await waitFor("the failure is known", () => picky.failure(ORDERS)?.includes("too large"));
    await waitFor("it is published in the end", async () => {
      await clock.advance(1_000);
      return picky.published(ORDERS) !== undefined;
    });
    expect(picky.failure(ORDERS)).toBeUndefined();
    end.abort();
    await run;
  });
});
