import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { ProxyReading } from "./proxy-header.ts";
import { readProxyHeader } from "./proxy-header.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const REQUEST = Buffer.from("GET / HTTP/1.1\r\n\r\n");

function version2(command: number, family: number, rest: readonly number[], length = rest.length) {
  return Buffer.from([...SIGNATURE, command, family, length >> 8, length & 0xff, ...rest]);
}

const IPV4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];
const IPV6 = [
  0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 2, 0x12, 0x67, 0x01, 0xbb,
];
const MAPPED = [...Array(10).fill(0), 0xff, 0xff, 192, 0, 2, 7, ...Array(16).fill(0), 0, 1, 0, 2];
/** PP2_TYPE_AUTHORITY "a", PP2_TYPE_NOOP. */
const EXTENSIONS = [0x02, 0, 1, 0x61, 0x04, 0, 0];

const seven = { kind: "proxied", address: "192.0.2.7", port: 4711 } as const;
const one = { kind: "proxied", address: "2001:db8::1", port: 4711 } as const;

const GOOD: readonly (readonly [string, Buffer, object])[] = [
  ["version 1, TCP4", line("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443"), seven],
  ["version 1, TCP6", line("PROXY TCP6 2001:db8::1 2001:db8::2 4711 443"), one],
  ["version 1, mapped", line("PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443"), seven],
  ["version 1, UNKNOWN", line("PROXY UNKNOWN"), { kind: "unknown" }],
  ["version 1, UNKNOWN and more", line("PROXY UNKNOWN a b c d"), { kind: "unknown" }],
  [
    "version 1, the longest",
    line(`PROXY UNKNOWN ${"ffff:".repeat(15)}ffff 65535 65535`),
    { kind: "unknown" },
  ],
  ["version 2, TCP over IPv4", version2(0x21, 0x11, IPV4), seven],
  ["version 2, TCP over IPv6", version2(0x21, 0x21, IPV6), one],
  ["version 2, mapped", version2(0x21, 0x21, MAPPED), { ...seven, port: 1 }],
  ["version 2, with extensions", version2(0x21, 0x11, [...IPV4, ...EXTENSIONS]), seven],
  ["version 2, LOCAL", version2(0x20, 0x00, []), { kind: "own" }],
  ["version 2, LOCAL with addresses", version2(0x20, 0x11, IPV4), { kind: "own" }],
  ["version 2, UNSPEC", version2(0x21, 0x00, []), { kind: "unknown" }],
  ["version 2, UNSPEC with bytes", version2(0x21, 0x00, EXTENSIONS), { kind: "unknown" }],
];

const BAD: readonly (readonly [string, Buffer])[] = [
  ["two spaces", line("PROXY  TCP4 192.0.2.7 10.0.0.1 4711 443")],
  ["a trailing space", line("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 ")],
  ["a tab", line("PROXY TCP4\t192.0.2.7 10.0.0.1 4711 443")],
  ["a bare LF", Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\nGET / HTTP/1.1\r\n\r\n")],
  ["lower case", line("PROXY tcp4 192.0.2.7 10.0.0.1 4711 443")],
  ["IPv6 for TCP4", line("PROXY TCP4 2001:db8::1 2001:db8::2 4711 443")],
  ["IPv4 for TCP6", line("PROXY TCP6 192.0.2.7 10.0.0.1 4711 443")],
  ["an address with leading zeros", line("PROXY TCP4 192.0.2.007 10.0.0.1 4711 443")],
  ["a destination that is none", line("PROXY TCP4 192.0.2.7 orders 4711 443")],
  ["a port with a leading zero", line("PROXY TCP4 192.0.2.7 10.0.0.1 04711 443")],
  ["a port above 65535", line("PROXY TCP4 192.0.2.7 10.0.0.1 65536 443")],
  ["a signed port", line("PROXY TCP4 192.0.2.7 10.0.0.1 +4711 443")],
  ["no ports", line("PROXY TCP4 192.0.2.7 10.0.0.1")],
  ["UDP4", line("PROXY UDP4 192.0.2.7 10.0.0.1 4711 443")],
  ["nothing", line("PROXY ")],
  ["UNKNOWN and a word", line("PROXY UNKNOWNX")],
  ["no end of line in 107 bytes", Buffer.from(`PROXY UNKNOWN ${"a".repeat(100)}`)],
  ["an end of line that is too late", line(`PROXY UNKNOWN ${"a".repeat(92)}`)],
  ["version 1 in binary", version2(0x11, 0x11, IPV4)],
  ["version 3 in binary", version2(0x31, 0x11, IPV4)],
  ["command 2", version2(0x22, 0x11, IPV4)],
  ["UDP over IPv4", version2(0x21, 0x12, IPV4)],
  ["UDP over IPv6", version2(0x21, 0x22, IPV6)],
  ["a Unix socket", version2(0x21, 0x31, Array<number>(216).fill(0))],
  ["a family that does not exist", version2(0x21, 0x41, IPV4)],
  ["too few bytes for IPv4", version2(0x21, 0x11, IPV4.slice(0, 11))],
  ["too few bytes for IPv6", version2(0x21, 0x21, IPV4)],
  ["more bytes than anybody waits for", version2(0x21, 0x11, IPV4, 4097)],
  ["more bytes than anybody waits for, LOCAL", version2(0x20, 0x00, [], 0xffff)],
];

function line(text: string): Buffer {
  return Buffer.from(`${text}\r\n`, "latin1");
}

describe("readProxyHeader()", () => {
  test.each(GOOD)("reads %s, and nothing behind it", (_title, header, source) => {
    const wanted = { kind: "header", length: header.length, source };
    expect(readProxyHeader(header)).toEqual(wanted);
    expect(readProxyHeader(Buffer.concat([header, REQUEST]))).toEqual(wanted);
  });

  test.each(GOOD)("waits at each byte of %s", (_title, header) => {
    for (let length = 0; length < header.length; length++) {
      expect(readProxyHeader(header.subarray(0, length))).toEqual({ kind: "incomplete" });
    }
  });

  test.each(BAD)("refuses %s", (_title, header) => {
    expect(readProxyHeader(header)).toMatchObject({ kind: "malformed" });
  });

  test.each(["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n", "PROX ", "\r\n\r\nGET", "\u0016"])(
    "sees that %j is no header",
    (text) => {
      expect(readProxyHeader(Buffer.from(text, "latin1"))).toEqual({ kind: "absent" });
    },
  );

  test("takes back nothing: more bytes never change what was known", () => {
    const start = fc.constantFrom(...GOOD.map(([, x]) => x), ...BAD.map(([, x]) => x), REQUEST);
    const bytes = fc
      .tuple(start, fc.nat(40), fc.uint8Array({ maxLength: 40 }), fc.nat(255))
      .map(([base, at, more, byte]) => {
        const changed = Buffer.concat([base, more]);
        if (at < changed.length) changed[at] = byte;
        return changed;
      });
    fc.assert(
      fc.property(bytes, (all) => {
        let known: ProxyReading = { kind: "incomplete" };
        for (let length = 0; length <= all.length; length++) {
          const reading = readProxyHeader(all.subarray(0, length));
          if (known.kind !== "incomplete") expect(reading).toEqual(known);
          known = reading;
        }
        if (known.kind === "header") expect(known.length).toBeLessThanOrEqual(all.length);
        // Nobody can make us wait for ever.
        if (all.length >= 16 + 4096) expect(known.kind).not.toBe("incomplete");
      }),
      { numRuns: 500 },
    );
  });
});
