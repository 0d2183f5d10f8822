/** A token that comes again: what was believed of it is believed as long as its reasons stand, and no longer. */
import { describe, expect, test } from "@jest/globals";
import type { BundleLayer, JwtProvider } from "../../policy/bundle.ts";
import { authentication, bundle, layer, provider } from "../../test/support/bundles.ts";
import { claims, ecKey, slowKey, token } from "../../test/support/tokens.ts";
import { readRequest } from "../normal-form/request.ts";
import type { Prepared } from "../prepared.ts";
import { prepare } from "../prepared.ts";
import type { Subject } from "./subject.ts";
import { authenticate } from "./authenticate.ts";

const NOW = 1_700_000_000_000;
const SKEW_MS = 30_000;
const key = ecKey("k1");
const keys = { kind: "known", jwks: [key.jwk] } as const;
const signed = (more = {}): string => token(key, claims(NOW, more));

const by = (...providers: readonly Partial<JwtProvider>[]): BundleLayer =>
  layer({
    authentication: authentication({
      providers: providers.map((parts) => provider({ keys, ...parts })),
    }),
  });
const inForce = (...layers: readonly BundleLayer[]): Promise<Prepared> =>
  prepare(bundle({ layers }));

async function ask(
  prepared: Prepared,
  text: string,
  nowMs = NOW,
  layerIndex = 0,
): Promise<Subject | string> {
  const raw = ["Host", "a", "Authorization", `Bearer ${text}`];
  const request = readRequest(
    { method: "GET", target: "/", version: "1.1", headers: raw },
    prepared.guards,
  );
  const asked = prepared.layers[layerIndex]?.authentication;
  if ("code" in request || asked === undefined) throw new TypeError("Cannot ask");
  const identity = await authenticate(request, asked, nowMs);
  if (identity.kind === "anonymous") return "anonymous";
  return identity.kind === "subject" ? identity.subject : identity.denial.code;
}

describe("a token that comes again", () => {
  test("is known, and names the same subject", async () => {
    const prepared = await inForce(by({}));
    const text = signed();
    const first = await ask(prepared, text);
    expect(first).toMatchObject({ id: "alice" });
    expect(await ask(prepared, text)).toBe(first);
    expect(prepared.tokens.size).toBe(1);
  });

  test("counts until `exp` and the skew, to the millisecond, though it was known before", async () => {
    const prepared = await inForce(by({}));
    const text = signed();
    const end = NOW + 600_000 + SKEW_MS;
    expect(await ask(prepared, text)).toMatchObject({ id: "alice" });
    expect(await ask(prepared, text, end - 1)).toMatchObject({ id: "alice" });
    expect(await ask(prepared, text, end)).toBe("authn.expired");
    expect(prepared.tokens.size).toBe(0);
  });

  test("does not count before `nbf` when the clock was put back", async () => {
    const prepared = await inForce(by({}));
    const text = signed({ nbf: NOW / 1000 });
    expect(await ask(prepared, text)).toMatchObject({ id: "alice" });
    expect(await ask(prepared, text, NOW - SKEW_MS - 1)).toBe("authn.not-yet-valid");
    expect(await ask(prepared, text)).toMatchObject({ id: "alice" });
  });

  test("is judged anew by each bundle: a key or an audience that went takes its tokens along", async () => {
    const text = signed();
    expect(await ask(await inForce(by({})), text)).toMatchObject({ id: "alice" });
    const without = await inForce(by({ keys: { kind: "known", jwks: [ecKey("k2").jwk] } }));
    expect(await ask(without, text)).toBe("authn.key-unknown");
    expect(await ask(await inForce(by({ audiences: ["payments"] })), text)).toBe("authn.audience");
    const dark = { kind: "unavailable", reason: "unreachable" } as const;
    expect(await ask(await inForce(by({ keys: dark })), text)).toBe("authn.keys-unavailable");
  });

  test.each([
    ["forged", token(ecKey("k1"), claims(NOW)), "authn.signature"],
    ["expired", signed({ exp: 1 }), "authn.expired"],
    ["for somebody else", signed({ aud: "payments" }), "authn.audience"],
    ["no JWS", "x", "authn.malformed"],
  ])("is refused each time when it is %s, and not remembered", async (_title, text, code) => {
    const prepared = await inForce(by({}));
    expect([await ask(prepared, text), await ask(prepared, text)]).toEqual([code, code]);
    expect(prepared.tokens.size).toBe(0);
  });

  test("in another spelling is another token", async () => {
    const prepared = await inForce(by({}));
    const text = signed();
    await ask(prepared, text);
    for (const other of [`${text}=`, `${text}.`, `${text}A`, text.toUpperCase()]) {
      expect(await ask(prepared, other)).toMatch(/^authn\.(malformed|signature)$/);
    }
  });

  test("is known of the provider that took it, not of the first one of its issuer", async () => {
    const prepared = await inForce(by({ name: "other", audiences: ["payments"] }, { name: "own" }));
    const text = signed();
    for (let time = 0; time < 2; time++) {
      expect(await ask(prepared, text)).toMatchObject({ provider: "own" });
    }
    expect(prepared.tokens.size).toBe(1);
  });

  test("is not remembered while an earlier provider says «not yet»: later it is the one that counts", async () => {
    const prepared = await inForce(
      by({ name: "strict", clockSkewSeconds: 0 }, { name: "lenient", clockSkewSeconds: 60 }),
    );
    const text = signed({ nbf: NOW / 1000 + 30 });
    expect(await ask(prepared, text)).toMatchObject({ provider: "lenient" });
    expect(prepared.tokens.size).toBe(0);
    expect(await ask(prepared, text, NOW + 30_000)).toMatchObject({ provider: "strict" });
    expect(prepared.tokens.size).toBe(1);
  });

  test("that one layer has accepted is judged by each other layer", async () => {
    const prepared = await inForce(by({}), by({ audiences: ["payments"] }), by({ name: "third" }));
    const text = signed();
    expect(await ask(prepared, text, NOW, 0)).toMatchObject({ provider: "corp" });
    expect(await ask(prepared, text, NOW, 1)).toBe("authn.audience");
    expect(await ask(prepared, text, NOW, 2)).toMatchObject({ provider: "third" });
    expect(await ask(prepared, text, NOW, 1)).toBe("authn.audience");
  });

  test("and others at the same time are not confused, with keys that take a thread", async () => {
    const slow = slowKey("k1");
    const prepared = await inForce(
      by({ algorithms: ["ES512"], keys: { kind: "known", jwks: [slow.jwk] } }),
    );
    const texts = Array.from({ length: 8 }, (_, index) =>
      token(slow, claims(NOW, { sub: `u${index}` })),
    );
    for (let round = 0; round < 2; round++) {
      const found = await Promise.all([...texts, ...texts].map((text) => ask(prepared, text)));
      expect(found.map((subject) => (typeof subject === "string" ? subject : subject.id))).toEqual(
        [...texts, ...texts].map((_, index) => `u${index % 8}`),
      );
    }
    expect(prepared.tokens.size).toBe(8);
  });
});
