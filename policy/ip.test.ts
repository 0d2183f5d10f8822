import { isIPv4, isIPv6 } from "node:net";
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { ipText, networkText, parseIp, parseNetwork, unmapped } from "./ip.ts";

describe("parseIp()", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ])("gives %s one spelling", (text, canonical) => {
    const address = parseIp(text);
    expect(address && ipText(address)).toBe(canonical);
  });

  test.each([
    "",
    "10.0.0",
    "10.0.0.256",
    "10.0.0.01",
    "0x0a.0.0.1",
    "10.0.0.1 ",
    "10.0.0.1:80",
    "[::1]",
    "fe80::1%eth0",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7::8:9",
    "1:2:3:4::5:6:7:8",
    "12345::",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "unknown",
    `${"0".repeat(40)}::1`,
  ])('is undefined for "%s"', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  test("takes what Node takes, and nothing else, for any text", () => {
    const piece = fc.constantFrom(
      ..."0123456789abfF:.::".split(""),
      "::",
      "ffff",
      "255",
      "1.2.3.4",
    );
    const text = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.oneof(text, fc.ipV4(), fc.ipV6()), (value) => {
        expect(parseIp(value) !== undefined).toBe(isIPv4(value) || isIPv6(value));
      }),
      { numRuns: 3000 },
    );
  });

  test("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (value) => {
        const address = parseIp(value);
        expect(address && parseIp(ipText(address))).toEqual(address);
      }),
    );
  });
});

describe("unmapped()", () => {
  test.each([
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::FFFF:a00:1", "10.0.0.1"],
    ["0:0:0:0:0:ffff:0a00:0001", "10.0.0.1"],
    ["::10.0.0.1", "::a00:1"],
    ["::ffff:0:10.0.0.1", "::ffff:0:a00:1"],
    ["10.0.0.1", "10.0.0.1"],
  ])("makes of %s %s", (text, canonical) => {
    const address = parseIp(text);
    expect(address && ipText(unmapped(address))).toBe(canonical);
  });
});

describe("parseNetwork()", () => {
  test.each([
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["192.0.2.7/32", "192.0.2.7/32"],
    ["10.128.0.0/9", "10.128.0.0/9"],
    ["::/0", "::/0"],
    ["2001:DB8::/32", "2001:db8::/32"],
    ["2001:db8:8000::/33", "2001:db8:8000::/33"],
  ])("reads %s", (text, canonical) => {
    const reading = parseNetwork(text);
    expect(reading.kind === "network" && networkText(reading.network)).toBe(canonical);
  });

  test.each([
    ["10.0.0.1", "must be a network in CIDR form"],
    ["10.0.0.0/8/8", "must be a network in CIDR form"],
    ["orders", "must be a network in CIDR form"],
    ["10.0.0.0/33", "must have a prefix length from 0 to 32"],
    ["10.0.0.0/08", "must have a prefix length from 0 to 32"],
    ["10.0.0.0/", "must have a prefix length from 0 to 32"],
    ["::/129", "must have a prefix length from 0 to 128"],
    ["10.0.0.1/8", "must not have bits set behind its prefix: write 10.0.0.0/8"],
    ["2001:db8::1/32", "must not have bits set behind its prefix: write 2001:db8::/32"],
    ["::ffff:10.0.0.0/104", "must be written as IPv4, not mapped into IPv6"],
  ])("says what is wrong with %s", (text, message) => {
    expect(parseNetwork(text)).toMatchObject({
      kind: "problem",
      message: expect.stringContaining(message),
    });
  });
});
