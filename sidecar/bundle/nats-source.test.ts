import { describe, expect, test } from "@jest/globals";
import { createSigner, generateSigningJwk } from "../../controller/sign.ts";
import { bundleKey } from "../../policy/contract.ts";
import { canonicalJson } from "../../policy/encode.ts";
import { InProcessBus } from "../../runtime/bus/in-process.ts";
import { nextOf } from "../../test/support/wait.ts";
import { busSource } from "./nats-source.ts";
import { WORKLOAD, closedBundle, sourceSuite, untilRevision } from "./source.suite.ts";
import { readTrustedKeys } from "./trusted-keys.ts";
import type { TrustedKeys } from "./trusted-keys.ts";
import { createVerifier } from "./verify.ts";

const KEY = bundleKey(WORKLOAD);

function signed(signer: ReturnType<typeof createSigner>, revision: number): Uint8Array {
  return signer.sign(Buffer.from(canonicalJson(closedBundle(revision)), "utf8"));
}

describe("busSource()", () => {
  sourceSuite(async () => {
    const signer = createSigner(generateSigningJwk());
    const bus = new InProcessBus();
    const keys = await readTrustedKeys(signer.publicJwks);
    return {
      source: busSource({
        bus,
        workload: WORKLOAD,
        verify: createVerifier({ keys, workload: WORKLOAD }),
      }),
      write: (bundle) => bus.bundles.put(KEY, signed(signer, bundle.revision)),
      spoil: () => bus.bundles.put(KEY, Buffer.from("spoilt")),
      [Symbol.asyncDispose]: () => bus.close(),
    };
  });

  test("says nothing of a key that is removed", async () => {
    await using bus = new InProcessBus();
    const signer = createSigner(generateSigningJwk());
    const keys = await readTrustedKeys(signer.publicJwks);
    const source = busSource({
      bus,
      workload: WORKLOAD,
      verify: createVerifier({ keys, workload: WORKLOAD }),
    });
    const control = new AbortController();
    const arrivals = source.arrivals(control.signal)[Symbol.asyncIterator]();
    await bus.bundles.put(KEY, signed(signer, 1));
    await untilRevision(arrivals, 1);
    await bus.bundles.remove(KEY);
    const next = arrivals.next();
    await bus.bundles.put(KEY, signed(signer, 2));
    expect(await next).toMatchObject({ value: { kind: "bundle", bundle: { revision: 2 } } });
    control.abort();
  });

  test("verifies the newest value again when the trusted keys have changed", async () => {
    await using bus = new InProcessBus();
    const [old, fresh] = [createSigner(generateSigningJwk()), createSigner(generateSigningJwk())];
    let keys: TrustedKeys = await readTrustedKeys(old.publicJwks);
    const verify = createVerifier({ keys: { get: (kid) => keys.get(kid) }, workload: WORKLOAD });
    const source = busSource({ bus, workload: WORKLOAD, verify });
    const control = new AbortController();
    const arrivals = source.arrivals(control.signal)[Symbol.asyncIterator]();
    await bus.bundles.put(KEY, signed(fresh, 1));
    expect(await nextOf(arrivals, "the refusal")).toMatchObject({ code: "bundle.signature" });
    keys = await readTrustedKeys(fresh.publicJwks);
    source.recheck();
    expect(await nextOf(arrivals, "the bundle")).toMatchObject({ kind: "bundle" });
    control.abort();
  });
});
