import { describe, expect, test } from "@jest/globals";
import { createIpFilter } from "./ip-filter.ts";

describe("createIpFilter()", () => {
  test.each([
    ["10.1.2.3", "allowed"],
    ["10.9.2.3", "denied"],
    ["11.0.0.0", "not-listed"],
    ["2001:db8::1", "allowed"],
    ["2001:db8:bad::1", "denied"],
    ["::1", "not-listed"],
  ])("deny wins over allow, and what neither has is not listed: %s", (address, verdict) => {
    const filter = createIpFilter({
      allow: { kind: "listed", networks: ["10.0.0.0/8", "2001:db8::/32"] },
      deny: ["10.9.0.0/16", "2001:db8:bad::/48"],
    });
    expect(filter(address)).toBe(verdict);
  });

  test("without a list all are allowed but the denied", () => {
    const filter = createIpFilter({ allow: { kind: "any" }, deny: ["192.0.2.7/32"] });
    expect([filter("192.0.2.6"), filter("192.0.2.7"), filter("::1")]).toEqual([
      "allowed",
      "denied",
      "allowed",
    ]);
  });

  test("an empty list is nobody, not everybody (CVE-2025-64715)", () => {
    const filter = createIpFilter({ allow: { kind: "listed", networks: [] }, deny: [] });
    expect(filter("10.0.0.1")).toBe("not-listed");
    expect(filter("::1")).toBe("not-listed");
  });

  test("a prefix of 0 is every address of its family", () => {
    const filter = createIpFilter({ allow: { kind: "listed", networks: ["0.0.0.0/0"] }, deny: [] });
    expect(filter("203.0.113.9")).toBe("allowed");
    expect(filter("2001:db8::1")).toBe("not-listed");
    const none = createIpFilter({ allow: { kind: "any" }, deny: ["::/0"] });
    expect([none("2001:db8::1"), none("10.0.0.1")]).toEqual(["denied", "allowed"]);
  });
});
