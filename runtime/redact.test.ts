import { describe, expect, test } from "@jest/globals";
import { REDACTED, isSecretName, redact, redactText } from "./redact.ts";
import { createLog } from "./log.ts";
import { ManualClock } from "./clock.ts";

const JWS = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl_-x";
const JWE = "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVy.dGFn";

describe("redact() hides by name", () => {
  const names = [
    "authorization",
    "Authorization",
    "AUTHORIZATION",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "setCookie",
    "SET_COOKIE",
    "token",
    "access_token",
    "accessToken",
    "refresh_token",
    "id_token",
    "password",
    "passwd",
    "secret",
    "client_secret",
    "clientSecret",
    "apiKey",
    "api_key",
    "x-api-key",
    "privateKey",
    "private_key",
    "credentials",
    "seed",
  ];
  test.each(names)("%s", (name) => {
    expect(redact({ [name]: "hunter2", other: 1 })).toEqual({ [name]: REDACTED, other: 1 });
    expect(JSON.stringify(redact({ deep: [{ [name]: "hunter2" }] }))).not.toContain("hunter2");
    expect(isSecretName(name)).toBe(true);
  });

  test("hides a whole object under a secret name, and every value of a repeated header", () => {
    expect(redact({ credentials: { user: "a", pass: "b" } })).toEqual({ credentials: REDACTED });
    expect(redact({ cookie: ["a=1", "b=2"] })).toEqual({ cookie: REDACTED });
  });

  test("shows that a secret is absent", () => {
    expect(redact({ token: undefined, cookie: "", secret: null, password: false })).toEqual({
      token: undefined,
      cookie: "",
      secret: null,
      password: false,
    });
  });

  test("leaves names alone that only resemble a secret's", () => {
    const record = { tokenType: "JWT", keyId: "k1", secretName: "keys", passed: 3, bearing: "N" };
    expect(redact(record)).toEqual(record);
  });

  test("hides names in a Map", () => {
    expect(redact(new Map([["authorization", "x"]]))).toEqual({ authorization: REDACTED });
  });
});

describe("redact() hides private members of a JWK", () => {
  test("of an RSA key", () => {
    const jwk = { kty: "RSA", kid: "1", n: "n", e: "AQAB", d: "1", p: "2", q: "3", dp: "4" };
    expect(redact({ ...jwk, dq: "5", qi: "6", oth: [{ r: "7" }] })).toEqual({
      kty: "RSA",
      kid: "1",
      n: "n",
      e: "AQAB",
      d: REDACTED,
      p: REDACTED,
      q: REDACTED,
      dp: REDACTED,
      dq: REDACTED,
      qi: REDACTED,
      oth: REDACTED,
    });
  });

  test("of a symmetric key", () => {
    expect(redact([{ kty: "oct", k: "c2VjcmV0" }])).toEqual([{ kty: "oct", k: REDACTED }]);
  });

  test("and leaves the same short names alone elsewhere", () => {
    expect(redact({ k: 5, d: "2d", q: "search" })).toEqual({ k: 5, d: "2d", q: "search" });
  });
});

describe("redactText() hides by shape", () => {
  const table: readonly (readonly [string, string, string])[] = [
    ["a compact JWS", `got ${JWS} today`, `got ${REDACTED} today`],
    ["a compact JWE", `got ${JWE}.`, `got ${REDACTED}.`],
    ["an unsigned JWS", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", REDACTED],
    ["a token in a query", `/cb?token=${JWS}&x=1`, `/cb?token=${REDACTED}&x=1`],
    [
      "a bearer credential",
      "Authorization: Bearer abc.def-123",
      `Authorization: Bearer ${REDACTED}`,
    ],
    ["a bearer credential in small letters", "bearer opaque_123", `bearer ${REDACTED}`],
    ["a basic credential", "Basic dXNlcjpwYXNz", `Basic ${REDACTED}`],
    ["a DPoP credential", "DPoP opaque-token", `DPoP ${REDACTED}`],
    ["a password in a URL", "nats://user:pw@bus:4222", `nats://${REDACTED}@bus:4222`],
    [
      "a PEM private key",
      "a -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- b",
      `a ${REDACTED} b`,
    ],
    ["a cut PEM private key", "-----BEGIN EC PRIVATE KEY-----\nMIIE", REDACTED],
  ];
  test.each(table)("%s", (_name, text, expected) => {
    expect(redactText(text)).toBe(expected);
  });

  test("leaves ordinary texts alone", () => {
    for (const text of [
      "GET /orders/42 HTTP/1.1",
      "the bearer of news",
      "basic auth",
      "http://127.0.0.1:8080/a@b",
      "a.b.c",
      "eyJ is how a token begins",
    ]) {
      expect(redactText(text)).toBe(text);
    }
  });

  test("bounds what one text can cost", () => {
    const started = performance.now();
    const result = redactText(`eyJ${"a".repeat(5_000_000)}`);
    expect(result.length).toBeLessThan(17_000);
    expect(redactText("://".repeat(6_000)).length).toBeLessThan(19_000);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

describe("redact() never throws and always yields JSON", () => {
  test("cycles", () => {
    const value: Record<string, unknown> = { a: 1 };
    value["self"] = value;
    expect(redact(value)).toEqual({ a: 1, self: "[circular]" });
  });

  test("the same object twice is not a cycle", () => {
    const shared = { x: 1 };
    expect(redact({ a: shared, b: shared })).toEqual({ a: { x: 1 }, b: { x: 1 } });
  });

  test("BigInt, symbols, functions, numbers that JSON lacks", () => {
    expect(redact({ a: 1n, b: Symbol("s"), c: () => 1, d: Number.NaN, e: Infinity })).toEqual({
      a: "1",
      b: "Symbol(s)",
      c: "[function]",
      d: "NaN",
      e: "Infinity",
    });
  });

  test("deep nesting is cut", () => {
    let value: unknown = { token: "hunter2" };
    for (let i = 0; i < 10_000; i += 1) value = { value };
    const text = JSON.stringify(redact(value));
    expect(text).toContain("[too deep]");
    expect(text).not.toContain("hunter2");
  });

  test("long lists and wide objects are cut", () => {
    const list = redact(Array.from({ length: 1_000 }, (_, i) => i)) as unknown[];
    expect(list).toHaveLength(201);
    expect(list.at(-1)).toBe("… (800 more)");
    const wide = redact(Object.fromEntries(list.map((_, i) => [`k${i}`, i]))) as object;
    expect(Object.keys(wide)).toHaveLength(201);
  });

  test("a getter that throws", () => {
    const value = {
      get bad(): string {
        throw new Error("no");
      },
    };
    expect(redact({ value, ok: 1 })).toEqual({ value: "[unreadable]", ok: 1 });
  });

  test("dates, URLs, bytes, sets", () => {
    expect(
      redact({
        at: new Date(0),
        bad: new Date(Number.NaN),
        url: new URL("http://u:p@host/"),
        bytes: new Uint8Array(3),
        set: new Set(["a"]),
      }),
    ).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      bad: "Invalid Date",
      url: `http://${REDACTED}@host/`,
      bytes: "[3 bytes]",
      set: ["a"],
    });
  });

  test("errors keep message, code and cause, without their secrets", () => {
    const cause = Object.assign(new Error(`token ${JWS}`), { code: "ERR_X" });
    const result = redact(new Error("outer", { cause })) as { cause: { code: string } };
    expect(result.cause.code).toBe("ERR_X");
    expect(JSON.stringify(result)).not.toContain(JWS);
  });

  test("a member called __proto__ is a member", () => {
    const value: unknown = JSON.parse('{"__proto__": {"admin": true}}');
    expect(JSON.stringify(redact(value))).toBe('{"__proto__":{"admin":true}}');
    expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
  });

  test("the input is not changed", () => {
    const value = Object.freeze({ token: "x", list: Object.freeze(["Bearer abcdefgh"]) });
    redact(value);
    expect(value).toEqual({ token: "x", list: ["Bearer abcdefgh"] });
  });
});

describe("createLog()", () => {
  test("writes one redacted line, whatever the values hold", () => {
    const lines: string[] = [];
    const log = createLog({
      level: "info",
      clock: new ManualClock(0),
      write: (line) => lines.push(line),
    });
    log.debug("below the level");
    log.child({ pod: "p" }).info("hello\nworld", { authorization: `Bearer ${JWS}`, note: JWS });
    expect(lines).toEqual([
      `{"time":"1970-01-01T00:00:00.000Z","level":"info","msg":"hello\\nworld","pod":"p","authorization":"${REDACTED}","note":"${REDACTED}"}\n`,
    ]);
  });
});
