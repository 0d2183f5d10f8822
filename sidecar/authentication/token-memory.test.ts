import { createHash } from "node:crypto";
import { beforeEach, describe, expect, test } from "@jest/globals";
import type { Subject } from "./subject.ts";
import type { LayerTokens } from "./token-memory.ts";
import { TokenMemory } from "./token-memory.ts";

const NOW = 1_700_000_000_000;
const lifetime = { fromMs: NOW - 1000, untilMs: NOW + 1000 };
const subject = (id: string): Subject => ({
  id,
  provider: "corp",
  claims: { sub: id, roles: ["a"] },
  scopes: new Set(),
  identityHeaders: [],
});

let memory: TokenMemory;
let tokens: LayerTokens;

beforeEach(() => {
  memory = new TokenMemory({ maxEntries: 3, maxBytes: 100_000 });
  tokens = memory.forLayer();
});

const put = (text: string, by = tokens): void =>
  by.remember(by.keyOf(text), subject(text), lifetime);
const idAt = (text: string, nowMs = NOW, by = tokens): string | undefined =>
  by.recall(by.keyOf(text), nowMs)?.id;

describe("TokenMemory", () => {
  test("knows a token by the SHA-256 of its text, and keeps no text", () => {
    const digest = tokens.keyOf("secret.token.text");
    expect(digest).toContain(createHash("sha256").update("secret.token.text").digest("base64"));
    expect(digest).not.toContain("secret");
    put("a");
    expect([idAt("a"), idAt("A"), idAt("a "), idAt("")]).toEqual([
      "a",
      undefined,
      undefined,
      undefined,
    ]);
  });

  test.each([
    [NOW - 1001, undefined],
    [NOW - 1000, "a"],
    [NOW + 999, "a"],
    [NOW + 1000, undefined],
  ])("looks at the clock at each use: at %d it says %s", (nowMs, wanted) => {
    put("a");
    expect(idAt("a", nowMs)).toBe(wanted);
  });

  test("forgets what no longer counts", () => {
    put("a");
    expect(memory.size).toBe(1);
    expect(idAt("a", NOW + 1000)).toBeUndefined();
    expect([memory.size, memory.bytes]).toEqual([0, 0]);
  });

  test("holds so many entries; what was not used for longest goes first", () => {
    for (const text of ["a", "b", "c"]) put(text);
    expect(idAt("a")).toBe("a");
    put("d");
    expect(memory.size).toBe(3);
    expect(["a", "b", "c", "d"].map((text) => idAt(text))).toEqual(["a", undefined, "c", "d"]);
  });

  test("holds so many bytes, whatever the number of tokens", () => {
    memory = new TokenMemory({ maxEntries: 1000, maxBytes: 20_000 });
    tokens = memory.forLayer();
    for (let index = 0; index < 100; index++) {
      put(`${index}`.padEnd(1000, "x"));
      expect(memory.bytes).toBeLessThanOrEqual(20_000);
    }
    expect(memory.size).toBeGreaterThan(2);
    expect(memory.size).toBeLessThan(10);
    const { size } = memory;
    put("y".repeat(10_000));
    expect([memory.size, idAt("y".repeat(10_000))]).toEqual([size, undefined]);
  });

  test.each([
    ["many objects", `[${Array.from({ length: 4_000 }, () => "{}").join()}]`, 200_000],
    ["a long text", JSON.stringify("x".repeat(12_000)), 12_000],
    ["depth", `${"[".repeat(6_000)}${"]".repeat(6_000)}`, 300_000],
  ])("weighs what a token says by what it takes: %s", (_title, json, atLeast) => {
    memory = new TokenMemory();
    tokens = memory.forLayer();
    const claims = { odd: JSON.parse(json) as unknown };
    tokens.remember("a", { ...subject("a"), claims }, lifetime);
    expect(memory.bytes).toBeGreaterThan(atLeast);
    expect(Object.isFrozen(claims.odd)).toBe(true);
  });

  test("counts a token once, however often it is remembered", () => {
    put("a");
    const { bytes } = memory;
    put("a");
    expect([memory.size, memory.bytes]).toEqual([1, bytes]);
  });

  test("what one layer accepts says nothing to another", () => {
    const other = memory.forLayer();
    put("a");
    expect(idAt("a", NOW, other)).toBeUndefined();
    put("a", other);
    expect(memory.size).toBe(2);
  });

  test("hands out a subject that nobody can change", () => {
    put("a");
    const known = tokens.recall(tokens.keyOf("a"), NOW);
    if (known === undefined) throw new TypeError("It is not known");
    expect(() => Object.assign(known.claims, { sub: "b" })).toThrow(TypeError);
    expect(() => (known.claims["roles"] as string[]).push("admin")).toThrow(TypeError);
    expect(() => Object.assign(known, { id: "b" })).toThrow(TypeError);
  });
});
