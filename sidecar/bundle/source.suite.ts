/** What every source of bundles promises, run against each. */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Bundle } from "../../policy/bundle.ts";
import { digestOf } from "../../policy/encode.ts";
import { bundle } from "../../test/support/bundles.ts";
import { nextOf } from "../../test/support/wait.ts";
import type { Arrival, BundleSource } from "./source.ts";

export const WORKLOAD = { namespace: "shop", name: "orders" } as const;

/** One source with the place that it reads from. */
export interface SourceWorld extends AsyncDisposable {
  readonly source: BundleSource;
  write(bundle: Bundle): Promise<void>;
  /** Something that is no bundle. */
  spoil(): Promise<void>;
}

export function closedBundle(revision: number): Bundle {
  const closed = { code: "policy.none", detail: `revision ${revision}` } as const;
  const draft = bundle({ workload: WORKLOAD, revision, closed, issuedAtMs: 1 });
  return { ...draft, digest: digestOf(draft) };
}

/** Reads on until `revision` comes; what came before is of no interest to a store either. */
export async function untilRevision(
  arrivals: AsyncIterator<Arrival>,
  revision: number,
): Promise<Arrival> {
  for (;;) {
    const arrival = await nextOf(arrivals, `revision ${revision}`);
    if (arrival.kind === "bundle" && arrival.bundle.revision === revision) return arrival;
  }
}

export function sourceSuite(open: () => Promise<SourceWorld>): void {
  let world: SourceWorld;
  let control: AbortController;
  beforeEach(async () => {
    world = await open();
    control = new AbortController();
  });
  afterEach(async () => {
    control.abort();
    await world[Symbol.asyncDispose]();
  });
  const read = (): AsyncIterator<Arrival> =>
    world.source.arrivals(control.signal)[Symbol.asyncIterator]();

  describe("arrivals()", () => {
    test("gives the present bundle first, then each change", async () => {
      await world.write(closedBundle(1));
      const arrivals = read();
      expect(await nextOf(arrivals, "the first")).toMatchObject({ bundle: closedBundle(1) });
      await world.write(closedBundle(2));
      expect(await untilRevision(arrivals, 2)).toMatchObject({ bundle: closedBundle(2) });
    });

    test("says what is wrong as refused, and goes on with the next good one", async () => {
      await world.write(closedBundle(1));
      const arrivals = read();
      await nextOf(arrivals, "the first");
      await world.spoil();
      for (;;) {
        const arrival = await nextOf(arrivals, "the refusal");
        if (arrival.kind === "bundle") continue;
        expect(arrival).toMatchObject({ kind: "refused", code: "bundle.malformed" });
        break;
      }
      await world.write(closedBundle(3));
      await untilRevision(arrivals, 3);
    });

    test("ends with its signal", async () => {
      await world.write(closedBundle(1));
      const arrivals = read();
      await nextOf(arrivals, "the first");
      const end = arrivals.next();
      control.abort();
      expect((await end).done).toBe(true);
    });

    test("can be read twice", async () => {
      await world.write(closedBundle(1));
      const [one, two] = [read(), read()];
      await untilRevision(one, 1);
      await untilRevision(two, 1);
      await world.write(closedBundle(2));
      await untilRevision(one, 2);
      await untilRevision(two, 2);
    });
  });

  test("has a name for the log", () => {
    expect(world.source.name).toMatch(/^\w+ \S+/);
  });
}
