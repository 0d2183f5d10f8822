/** Mutations of valid tokens: only the very token is accepted, and no mutation breaks the check itself. */
import { beforeAll, describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { Identity } from "../../sidecar/authentication/authenticate.ts";
import { authenticate } from "../../sidecar/authentication/authenticate.ts";
import { readRequest } from "../../sidecar/normal-form/request.ts";
import type { Prepared } from "../../sidecar/prepared.ts";
import { prepare } from "../../sidecar/prepared.ts";
import { authentication, bundle, layer, provider } from "../support/bundles.ts";
import { claims, ecKey, edKey, encode, rsaKey, token } from "../support/tokens.ts";
import { runs } from "./runs.ts";

const NOW = 1_700_000_000_000;
const KEYS = [rsaKey("rsa"), ecKey("ec"), edKey("ed")];
const VALID = KEYS.map((key) => token(key, claims(NOW, { scope: "a" })));
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

let prepared: Prepared;

beforeAll(async () => {
  const keys = { kind: "known", jwks: KEYS.map(({ jwk }) => jwk) } as const;
  prepared = await prepare(
    bundle({
      layers: [layer({ authentication: authentication({ providers: [provider({ keys })] }) })],
    }),
  );
});

async function ask(text: string): Promise<Identity> {
  const asked = prepared.layers[0]?.authentication;
  const request = readRequest(
    {
      method: "GET",
      target: "/",
      version: "1.1",
      headers: ["Host", "a", "Authorization", `Bearer ${text}`],
    },
    prepared.guards,
  );
  if (asked === undefined) throw new TypeError("Cannot ask: the layer asks for nobody");
  if ("code" in request) return { kind: "refused", denial: request };
  return authenticate(request, asked, NOW);
}

type Mutation = (text: string) => string;
const spot = fc.nat({ max: 2_000 });
const letter = fc.constantFrom(...ALPHABET.split(""));
const part = fc.constantFrom(0, 1, 2);
const withPart = (text: string, index: number, change: (part: string) => string): string =>
  text
    .split(".")
    .map((old, i) => (i === index ? change(old) : old))
    .join(".");
const withJson = (text: string, index: number, more: object): string =>
  withPart(text, index, (old) => {
    try {
      const value = JSON.parse(Buffer.from(old, "base64url").toString()) as object;
      return encode({ ...value, ...more });
    } catch {
      // A mutation before this one has broken it already.
      return old;
    }
  });

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(spot, letter).map(([at, by]): Mutation => (text) => {
    const i = at % text.length;
    return text.slice(0, i) + by + text.slice(i + 1);
  }),
  fc.tuple(spot, letter).map(([at, by]): Mutation => (text) => {
    const i = at % (text.length + 1);
    return text.slice(0, i) + by + text.slice(i);
  }),
  spot.map(
    (at): Mutation =>
      (text) =>
        text.slice(0, at % text.length) + text.slice((at % text.length) + 1),
  ),
  // The last letter of base64 has bits that decode to nothing: another text, the same signature.
  fc.tuple(part, letter).map(
    ([index, by]): Mutation =>
      (text) =>
        withPart(text, index, (old) => old.slice(0, -1) + by),
  ),
  part.map(
    (index): Mutation =>
      (text) =>
        withPart(text, index, (old) => `${old}=`),
  ),
  part.map(
    (index): Mutation =>
      (text) =>
        withPart(text, index, () => ""),
  ),
  fc.tuple(part, fc.nat({ max: 2 })).map(
    ([index, of]): Mutation =>
      (text) =>
        withPart(text, index, () => (VALID[of] ?? "").split(".")[index] ?? ""),
  ),
  fc.constantFrom("none", "HS256", "RS256", "ES256", "PS256", "EdDSA", "").map(
    (alg): Mutation =>
      (text) =>
        withJson(text, 0, { alg }),
  ),
  fc.constantFrom("rsa", "ec", "ed", "__proto__", "", "x").map(
    (kid): Mutation =>
      (text) =>
        withJson(text, 0, { kid }),
  ),
  fc
    .constantFrom(
      { crit: ["b64"], b64: false },
      { b64: false },
      { jku: "http://127.0.0.1:1/" },
      { zip: "DEF" },
    )
    .map(
      (more): Mutation =>
        (text) =>
          withJson(text, 0, more),
    ),
  fc.constantFrom({ scope: "a b" }, { sub: "root" }, { exp: 1e300 }, { iss: null }).map(
    (more): Mutation =>
      (text) =>
        withJson(text, 1, more),
  ),
  fc.constantFrom(".", "..", " ", "\t", "\u00e9", ",", ";").map(
    (by): Mutation =>
      (text) =>
        text + by,
  ),
);

describe("a token", () => {
  test.each([0, 1, 2])("of key %i is accepted as it is", async (index) => {
    expect(await ask(VALID[index] ?? "")).toMatchObject({
      kind: "subject",
      subject: { id: "alice" },
    });
  });

  test("is refused in every other form, and its refusal is always one of the caller's", async () => {
    const codes = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...VALID),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        async (text, mutations) => {
          const mutated = mutations.reduce((old, mutate) => mutate(old === "" ? "x" : old), text);
          const identity = await ask(mutated);
          if (VALID.includes(mutated)) {
            expect(identity.kind).toBe("subject");
            return;
          }
          if (identity.kind !== "refused") throw new Error(`"${identity.kind}" for "${mutated}"`);
          const { code } = identity.denial;
          expect(code).toMatch(/^(?:authn|request)\./);
          codes.set(code, (codes.get(code) ?? 0) + 1);
        },
      ),
      runs(2_000),
    );
    // The mutations go deep: not all of them fail at the door.
    expect([...codes.keys()]).toEqual(
      expect.arrayContaining(["authn.malformed", "authn.algorithm", "authn.signature"]),
    );
  });

  test("that is any text at all never breaks the check", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ maxLength: 200 }),
          fc
            .tuple(fc.jsonValue(), fc.jsonValue(), fc.base64String())
            .map(([h, c, s]) => `${encode(JSON.stringify(h))}.${encode(JSON.stringify(c))}.${s}`),
          fc
            .tuple(
              fc.record({ alg: fc.jsonValue(), kid: fc.jsonValue() }),
              fc.record({ iss: fc.jsonValue() }),
            )
            .map(([h, c]) => `${encode(h)}.${encode(c)}.c2ln`),
        ),
        async (text) => {
          expect((await ask(text)).kind).toBe("refused");
        },
      ),
      runs(1_500),
    );
  });
});
