import { describe, expect, test } from "@jest/globals";
import type { Bundle } from "../../policy/bundle.ts";
import { ManualClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { bundle } from "../../test/support/bundles.ts";
import { BundleStore } from "./store.ts";

const MAX_STALE_MS = 60_000;

function setUp(prepare = async (b: Bundle) => `revision ${b.revision}`) {
  const clock = new ManualClock();
  let prepared = 0;
  const store = new BundleStore<string>({
    prepare: (b) => {
      prepared += 1;
      return prepare(b);
    },
    prepareClosed: (code) => code,
    maxStaleMs: MAX_STALE_MS,
    clock,
    log: silentLog,
  });
  let changes = 0;
  store.onChange(() => (changes += 1));
  const offer = (parts: Partial<Bundle> = {}) =>
    store.offer({ kind: "bundle", bundle: bundle({ issuedAtMs: clock.now(), ...parts }) });
  return { clock, store, offer, prepared: () => prepared, changes: () => changes };
}

describe("BundleStore", () => {
  test("waits, closed, until the first bundle", async () => {
    const { store, offer, clock } = setUp();
    expect([store.state.kind, store.current]).toEqual(["waiting", "policy.waiting"]);
    expect(await offer({ revision: 1 })).toBe("taken");
    expect([store.state.kind, store.current]).toEqual(["current", "revision 1"]);
    expect(store.state).toMatchObject({ sinceMs: clock.now() });
  });

  test("swaps to a newer revision", async () => {
    const { store, offer } = setUp();
    await offer({ revision: 1 });
    expect(await offer({ revision: 2, digest: "other" })).toBe("taken");
    expect(store.current).toBe("revision 2");
  });

  test("keeps the old bundle in force until the new one is prepared", async () => {
    const gate = Promise.withResolvers<void>();
    const { store, offer } = setUp(async (b) => {
      if (b.revision === 2) await gate.promise;
      return `revision ${b.revision}`;
    });
    await offer({ revision: 1 });
    const taking = offer({ revision: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.current).toBe("revision 1");
    gate.resolve();
    await taking;
    expect(store.current).toBe("revision 2");
  });

  test("takes offers in their order, however long each needs", async () => {
    const { store, offer } = setUp(async (b) => {
      for (let turns = 5 - b.revision; turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      return `revision ${b.revision}`;
    });
    await Promise.all([1, 2, 3].map((revision) => offer({ revision })));
    expect(store.current).toBe("revision 3");
  });

  test.each<readonly [string, Partial<Bundle>, string]>([
    ["an older revision", { revision: 4 }, "bundle.replayed"],
    ["its revision with another content", { revision: 5, digest: "other" }, "bundle.replayed"],
    ["a newer one from too long ago", { revision: 6, issuedAtMs: 1 }, "bundle.stale"],
  ])("refuses %s, and the current one stays", async (_name, parts, code) => {
    const { store, offer } = setUp();
    await offer({ revision: 5 });
    expect(await offer(parts)).toBe("refused");
    expect(store.current).toBe("revision 5");
    expect(store.refused).toMatchObject({ code, revision: parts.revision });
  });

  test("refuses a bundle that cannot be prepared, and the current one stays", async () => {
    const { store, offer } = setUp(async (b) => {
      if (b.revision === 2) throw new Error("a key is broken");
      return `revision ${b.revision}`;
    });
    await offer({ revision: 1 });
    expect(await offer({ revision: 2 })).toBe("refused");
    expect([store.current, store.refused?.code]).toEqual(["revision 1", "bundle.unknown"]);
    expect(store.refused?.detail).toContain("a key is broken");
    expect(await offer({ revision: 3 })).toBe("taken");
    expect(store.refused).toBeUndefined();
  });

  test("keeps what a source refused until something newer is taken", async () => {
    const { store, offer, changes } = setUp();
    await offer({ revision: 1 });
    const refused = { kind: "refused", code: "bundle.version", detail: "d", revision: 9 } as const;
    await store.offer(refused);
    const before = changes();
    await store.offer(refused);
    expect(changes()).toBe(before);
    await offer({ revision: 1 });
    expect(store.refused?.code).toBe("bundle.version");
    await offer({ revision: 10 });
    expect(store.refused).toBeUndefined();
  });

  test("forgets a refusal without revision when the genuine bundle is back", async () => {
    const { store, offer, changes } = setUp();
    await offer({ revision: 1, issuedAtMs: 1_700_000_000_000 });
    await store.offer({ kind: "refused", code: "bundle.signature", detail: "forged" });
    const before = changes();
    expect(await offer({ revision: 1, issuedAtMs: 1_700_000_000_000 })).toBe("unchanged");
    expect(store.refused).toBeUndefined();
    expect(changes()).toBe(before + 1);
  });

  test("grows stale after maxStale, and closed; the same bundle renewed opens it without preparing", async () => {
    const { store, offer, clock, prepared } = setUp();
    await offer({ revision: 1 });
    await clock.advance(MAX_STALE_MS - 1);
    expect(store.state.kind).toBe("current");
    await clock.advance(1);
    expect([store.state.kind, store.current]).toEqual(["stale", "policy.stale"]);
    expect(await offer({ revision: 1 })).toBe("renewed");
    expect([store.state.kind, store.current]).toEqual(["current", "revision 1"]);
    expect(prepared()).toBe(1);
  });

  test("a renewal keeps the bundle fresh and does not change since when", async () => {
    const { store, offer, clock } = setUp();
    await offer({ revision: 1 });
    const since = clock.now();
    await clock.advance(MAX_STALE_MS / 2);
    expect(await offer({ revision: 1 })).toBe("renewed");
    await clock.advance(MAX_STALE_MS - 1);
    expect(store.state).toMatchObject({ kind: "current", sinceMs: since });
    await clock.advance(1);
    expect(store.state.kind).toBe("stale");
  });

  test("an older renewal changes nothing: another controller's clock may be behind", async () => {
    const { store, offer, clock } = setUp();
    await offer({ revision: 1 });
    expect(await offer({ revision: 1, issuedAtMs: clock.now() - 1_000 })).toBe("unchanged");
    expect(store.refused).toBeUndefined();
    await clock.advance(MAX_STALE_MS - 1);
    expect(store.state.kind).toBe("current");
  });

  test("is stale at once with a first bundle that is too old", async () => {
    const { store, offer } = setUp();
    expect(await offer({ revision: 1, issuedAtMs: 1 })).toBe("taken");
    expect([store.state.kind, store.current]).toEqual(["stale", "policy.stale"]);
    expect(await offer({ revision: 2 })).toBe("taken");
    expect(store.current).toBe("revision 2");
  });

  test("a bundle from far ahead is as old as its arrival, and grows stale all the same", async () => {
    const { store, offer, clock } = setUp();
    await offer({ revision: 1, issuedAtMs: clock.now() + 365 * 24 * 3_600_000 });
    expect(store.state.kind).toBe("current");
    await clock.advance(MAX_STALE_MS);
    expect(store.state.kind).toBe("stale");
  });

  test("does nothing more once it is closed", async () => {
    const { store, offer, clock } = setUp();
    await offer({ revision: 1 });
    store[Symbol.dispose]();
    expect(await offer({ revision: 2 })).toBe("unchanged");
    await clock.advance(MAX_STALE_MS * 2);
    expect(store.current).toBe("revision 1");
  });
});
