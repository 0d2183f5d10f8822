/** Policies that follow each other quickly under load: every answer is that of exactly one of them. */
import { describe, expect, test } from "@jest/globals";
import type { Bundle } from "../../policy/bundle.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { BundleStore } from "../../sidecar/bundle/store.ts";
import type { Prepared } from "../../sidecar/prepared.ts";
import { prepare, prepareClosed } from "../../sidecar/prepared.ts";
import { authentication, bundle, layer, operations, provider, rule } from "../support/bundles.ts";
import { codeOf, openLane } from "../support/lane.ts";
import { claims, ecKey, token } from "../support/tokens.ts";

const CLIENTS = 8;
const REQUESTS = 60;
const key = ecKey("k1");
const signed = token(key, claims(Date.now(), { even: "even", odd: "odd" }));

/** Two policies that share nothing but the caller: path, identity header's claim, and layers differ. */
function policyOf(revision: number): Bundle {
  const name = revision % 2 === 0 ? "even" : "odd";
  const asks = layer({
    authentication: authentication({
      providers: [
        provider({
          keys: { kind: "known", jwks: [key.jwk] },
          claimsToHeaders: [{ claim: name, header: "x-policy" }],
        }),
      ],
    }),
  });
  const declares = layer({ operations: operations([rule("GET", `/${name}/{id}`)]) });
  return bundle({
    revision,
    issuedAtMs: Date.now(),
    digest: `sha256:${name}`,
    // The odd one asks twice, so that its decisions take longer.
    layers: name === "even" ? [declares, asks] : [asks, declares, asks],
  });
}

describe("a swap of policy under load", () => {
  test("gives every request the answer of the one policy that it began with", async () => {
    await using lane = await openLane();
    using store = new BundleStore<Prepared>({
      prepare,
      prepareClosed,
      maxStaleMs: 60_000,
      clock: systemClock,
      log: silentLog,
    });
    lane.current = () => store.current;
    expect(await store.offer({ kind: "bundle", bundle: policyOf(1) })).toBe("taken");

    const answers = new Map<string, { readonly status: number; readonly code: unknown }>();
    const ask = async (nth: number): Promise<void> => {
      await using client = await lane.client();
      for (let i = 0; i < REQUESTS; i++) {
        const path = `/${(nth + i) % 2 === 0 ? "even" : "odd"}/${nth}-${i}`;
        client.send(
          `GET ${path} HTTP/1.1\r\nHost: a\r\nX-Policy: forged\r\nAuthorization: Bearer ${signed}\r\n\r\n`,
        );
        const response = await client.response();
        const code = response.status === 200 ? undefined : codeOf(response);
        answers.set(path, { status: response.status, code });
      }
    };
    const over = new AbortController();
    let revision = 1;
    const swap = async (): Promise<void> => {
      while (!over.signal.aborted) {
        revision += 1;
        // Preparing needs no turn of the event loop by itself, and the requests need some.
        await new Promise((resolve) => setImmediate(resolve));
        expect(await store.offer({ kind: "bundle", bundle: policyOf(revision) })).toBe("taken");
      }
    };
    const swapping = swap();
    await Promise.all(Array.from({ length: CLIENTS }, (_, nth) => ask(nth)));
    over.abort();
    await swapping;

    expect(answers.size).toBe(CLIENTS * REQUESTS);
    expect(lane.records).toHaveLength(CLIENTS * REQUESTS);
    const byOutcome = { permit: 0, deny: 0 };
    for (const record of lane.records) {
      const { path = "", revision = 0, outcome, code } = record;
      const name = revision % 2 === 0 ? "even" : "odd";
      const isDeclared = path.startsWith(`/${name}/`);
      const seen = lane.upstream.requests.filter(({ head }) => head.startsWith(`GET ${path} `));
      if (isDeclared) {
        byOutcome.permit += 1;
        expect({ outcome, answer: answers.get(path) }).toEqual({
          outcome: "permit",
          answer: { status: 200, code: undefined },
        });
        // The identity is of the same policy as the permit, and there is one.
        expect(seen.map(({ head }) => head.match(/^x-policy: .*$/gim))).toEqual([
          [`x-policy: ${name}`],
        ]);
      } else {
        byOutcome.deny += 1;
        expect({ outcome, code, answer: answers.get(path) }).toEqual({
          outcome: "deny",
          code: "operation.undeclared",
          answer: { status: 403, code: "operation.undeclared" },
        });
        expect(seen).toEqual([]);
      }
    }
    // The race was one: both policies have decided on both kinds of request, many times.
    expect(revision).toBeGreaterThan(20);
    expect(Math.min(byOutcome.permit, byOutcome.deny)).toBeGreaterThan(20);
    expect(new Set(lane.records.map((record) => record.revision)).size).toBeGreaterThan(10);
  });
});
