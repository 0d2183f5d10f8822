/** Normal form under random input: it never throws, and what it accepts has one reading. */
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { HeaderGuards } from "../../sidecar/normal-form/headers.ts";
import { readHeaders, spelling } from "../../sidecar/normal-form/headers.ts";
import { readHost } from "../../sidecar/normal-form/host.ts";
import { readTarget } from "../../sidecar/normal-form/path.ts";
import { readRequest } from "../../sidecar/normal-form/request.ts";
import { runs } from "./runs.ts";

const GUARDS: HeaderGuards = {
  identity: new Set(["x-user"]),
  credential: new Set(["authorization", "x_key"]),
};

/** Bytes as a parser hands them over, one character each. */
const bytes = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array).toString("latin1"));

/** What breaks paths, more often than chance would have it. */
const piece = fc.oneof(
  fc.constantFrom(
    ..."/ // . .. ... ./ ../ %2e %2E %2f %2F %5c %5C %00 %0a %25 %252e %c0%af %c3%a9 %ed%a0%80 %zz % %4 ; ? # & = + @ : ~ \\ \t".split(
      " ",
    ),
    " ",
    "\u0000",
    "\u00e9",
    "\u0100",
    "\u{1f600}",
  ),
  fc.string({ minLength: 1, maxLength: 4 }),
  bytes(4),
);
const target = fc.oneof(
  fc.array(piece, { maxLength: 10 }).map((parts) => `/${parts.join("")}`),
  fc.array(piece, { maxLength: 10 }).map((parts) => parts.join("")),
  fc.webPath().map((path) => `${path}?a=b`),
);

const NAMES = [
  "Host",
  "host",
  "Content-Length",
  "content_length",
  "Transfer-Encoding",
  "Transfer_Encoding",
  "Authorization",
  "authorization",
  "Cookie",
  "Connection",
  "Expect",
  "Upgrade",
  "X-User",
  "x_user",
  "X.User",
  "X-Key",
  "x_key",
  "X-Forwarded-For",
  "X_Forwarded_For",
  "X-Forwarded-Host",
  "Forwarded",
  "X-Real-IP",
  "Content-Type",
  "Content-Encoding",
  "Range",
  "Origin",
  "User-Agent",
  "X-Free",
  "",
  "A B",
  "__proto__",
  "constructor",
];
const VALUES = [
  "a",
  "api.example",
  "5",
  "5, 5",
  "+5",
  "0x5",
  "chunked",
  "chunked, chunked",
  "gzip",
  "close",
  "Host",
  "x-user",
  "Authorization, close",
  "100-continue",
  "h2c",
  "websocket",
  "Bearer x",
  "",
  " ",
  "a\r\nb",
  "\u0000",
  "\u00e9",
  "\u0100",
];
const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...NAMES) },
  { weight: 1, arbitrary: bytes(8) },
);
const value = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 1, arbitrary: bytes(12) },
);
const lines = fc.array(fc.tuple(name, value), { maxLength: 8 }).map((pairs) => pairs.flat());

const SINGLETONS = [
  "host",
  "content-length",
  "transfer-encoding",
  "content-type",
  "content-encoding",
  "authorization",
  "cookie",
  "expect",
  "upgrade",
  "range",
  "origin",
  "user-agent",
  "x-forwarded-host",
  "x-real-ip",
];

describe("readTarget()", () => {
  test("never throws, and what it accepts means one path to everybody", () => {
    let accepted = 0;
    fc.assert(
      fc.property(target, (text) => {
        const read = readTarget(text);
        if ("code" in read) {
          expect(read.code).toBe("request.path");
          return;
        }
        accepted += 1;
        expect(text).toBe(read.query === undefined ? read.path : `${read.path}?${read.query}`);
        expect(text).toMatch(/^\/[\u0021-\u007e]*$/);
        expect(text).not.toContain("#");
        expect(read.path).not.toMatch(/\/\//);
        for (const segment of read.segments) {
          expect(segment).not.toMatch(/^\.\.?$/);
          // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
          expect(segment).not.toMatch(/[/\\;\u0000-\u001f\u007f]/);
          expect(segment.isWellFormed()).toBe(true);
          // Who decodes twice reads the same.
          expect(segment).not.toMatch(/%[0-9a-f]{2}/i);
        }
        // Written anew, it is a path of the same segments, and that path is accepted as well.
        const again = `/${read.segments.map(encodeURIComponent).join("/")}`;
        expect(readTarget(again)).toMatchObject({ segments: read.segments });
        // And a parser that resolves dots and backslashes finds nothing to resolve.
        expect(new URL(text, "http://host").pathname).toBe(read.path);
      }),
      runs(4_000),
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

describe("readHost()", () => {
  test("never throws, and what it accepts is one host to a URL parser too", () => {
    const host = fc.oneof(
      fc
        .array(fc.constantFrom(..."a b.c-_:8@[]%/\\?#. 0x7f ::1 . é".split(/(?=.)/)), {
          maxLength: 8,
        })
        .map((p) => p.join("")),
      fc.domain(),
      fc.tuple(fc.domain(), fc.nat({ max: 99_999 })).map(([domain, port]) => `${domain}:${port}`),
      fc.ipV6().map((address) => `[${address}]`),
      bytes(12),
    );
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(host, { maxLength: 2 }), (values) => {
        const read = readHost(values);
        if ("code" in read) {
          expect(read.code).toBe("request.host");
          return;
        }
        accepted += 1;
        expect(values).toHaveLength(1);
        expect(read.host).toBe(values[0]?.toLowerCase());
        expect(read.host).toMatch(/^(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/);
        expect(read.host).not.toMatch(/\.(?::|$)/);
      }),
      runs(3_000),
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

describe("readHeaders()", () => {
  test("never throws, whatever list it is given, and keeps what is single single", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(lines, fc.array(bytes(6), { maxLength: 9 })), (raw) => {
        const read = readHeaders(raw, GUARDS);
        if ("code" in read) {
          expect(["request.header", "request.header-size"]).toContain(read.code);
          return;
        }
        accepted += 1;
        for (const key of SINGLETONS) {
          // Two Hosts are refused by readHost(), with a code of their own.
          if (key !== "host") expect(read.headers.all(key).length).toBeLessThanOrEqual(1);
        }
        for (const { name, key, value } of read.headers.lines) {
          expect(key).toBe(name.toLowerCase());
          // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
          expect(`${name}${value}`).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f\u0100-\uffff]/);
          expect(GUARDS.identity).not.toContain(spelling(key));
        }
      }),
      runs(4_000),
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

describe("readRequest()", () => {
  test("never throws, and what it accepts has one end, one host, one path, one caller", () => {
    const method = fc.oneof(
      fc.constantFrom("GET", "POST", "get", "CONNECT", "TRACE", "connect", "PURGE", ""),
      bytes(6),
    );
    const host = fc.constantFrom(
      [],
      ["Host", "api.example"],
      ["host", "a:80"],
      ["Host", "a", "Host", "a"],
    );
    let accepted = 0;
    fc.assert(
      fc.property(
        method,
        fc.oneof(target, fc.constant("/a")),
        fc.constantFrom("1.0" as const, "1.1" as const, "2" as const),
        host,
        lines,
        (method, target, version, first, rest) => {
          const read = readRequest(
            { method, target, version, headers: [...first, ...rest] },
            GUARDS,
          );
          if ("code" in read) {
            expect(read.code).toMatch(/^request\./);
            return;
          }
          accepted += 1;
          expect(read.target).toBe(target);
          expect(read.method).toBe(method);
          expect(["CONNECT", "TRACE", "TRACK"]).not.toContain(method.toUpperCase());
          for (const key of SINGLETONS) expect(read.headers.all(key).length).toBeLessThanOrEqual(1);
          expect(read.headers.all("host")).toHaveLength(1);
          const length = read.headers.get("content-length");
          const coding = read.headers.get("transfer-encoding");
          expect(length !== undefined && coding !== undefined).toBe(false);
          expect(read.framing).toEqual(
            coding !== undefined
              ? { kind: "chunked" }
              : length !== undefined
                ? { kind: "length", bytes: Number(length) }
                : { kind: "none" },
          );
          for (const key of read.headers.lines.map((line) => line.key)) {
            // No other spelling of what decides.
            expect([
              "transfer_encoding",
              "content_length",
              "x_user",
              "x.user",
              "x_forwarded_for",
            ]).not.toContain(key);
          }
        },
      ),
      runs(4_000),
    );
    expect(accepted).toBeGreaterThan(50);
  });
});
