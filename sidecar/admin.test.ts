import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "../runtime/clock.ts";
import { silentLog } from "../runtime/log.ts";
import {
  authentication,
  bundle,
  layer,
  operations,
  provider,
  rule,
} from "../test/support/bundles.ts";
import { describeBundle, readiness } from "./admin.ts";
import { BundleStore } from "./bundle/store.ts";

function setUp() {
  const clock = new ManualClock();
  const store = new BundleStore<string>({
    prepare: async () => "prepared",
    prepareClosed: (code) => code,
    maxStaleMs: 60_000,
    clock,
    log: silentLog,
  });
  return { clock, store };
}

describe("readiness()", () => {
  test("needs a current bundle and no drain", async () => {
    const { clock, store } = setUp();
    let draining = false;
    const ready = readiness(store, () => draining);
    expect(ready()).toEqual(["No verified bundle has arrived yet"]);
    await store.offer({ kind: "bundle", bundle: bundle({ issuedAtMs: clock.now() }) });
    expect(ready()).toEqual([]);
    await clock.advance(60_000);
    draining = true;
    expect(ready()).toEqual([
      "The last verified bundle is too old",
      "The sidecar is shutting down",
    ]);
  });
});

describe("describeBundle()", () => {
  test("shows what is enforced, whole, with keys as kid, kty and alg alone", async () => {
    const { clock, store } = setUp();
    const jwk = { kty: "RSA", kid: "k1", alg: "RS256", n: "modulus", e: "AQAB" } as const;
    const rules = Array.from({ length: 500 }, (_, index) => rule("GET", `/r${index}/{id}`));
    const layers = [
      layer({
        authentication: authentication({
          providers: [
            provider({ keys: { kind: "known", jwks: [jwk] } }),
            provider({ name: "b", keys: { kind: "unavailable", reason: "unreachable" } }),
          ],
        }),
        operations: operations(rules),
      }),
    ];
    await store.offer({ kind: "bundle", bundle: bundle({ layers, issuedAtMs: clock.now() }) });
    await store.offer({ kind: "refused", code: "bundle.digest", detail: "d" });
    const text = JSON.stringify(describeBundle(store, "test source"));
    expect(text).not.toContain("modulus");
    expect(text).toContain('"reason":"unreachable"');
    expect(JSON.parse(text)).toMatchObject({
      state: "current",
      source: "test source",
      refused: { code: "bundle.digest" },
      since: "2023-11-14T22:13:20.000Z",
      bundle: {
        revision: 7,
        layers: [
          {
            operations: { rules },
            authentication: {
              providers: [
                { keys: { kind: "known", jwks: [{ kid: "k1", kty: "RSA", alg: "RS256" }] } },
                { name: "b" },
              ],
            },
          },
        ],
      },
    });
  });

  test("says that it waits", () => {
    expect(describeBundle(setUp().store, "s")).toEqual({ state: "waiting", source: "s" });
  });
});
