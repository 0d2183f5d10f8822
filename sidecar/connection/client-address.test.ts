import { describe, expect, test } from "@jest/globals";
import { HeaderList } from "../exchange.ts";
import { canonicalAddress, clientAddress } from "./client-address.ts";
import type { ClientOrigin } from "./inbound.ts";

const peer: ClientOrigin = { address: "10.0.0.1", port: 4711 };
const proxied: ClientOrigin = { ...peer, proxied: { address: "192.0.2.7", port: 80 } };

function headers(...lines: string[]): HeaderList {
  return new HeaderList(
    lines.map((value) => ({ name: "X-Forwarded-For", key: "x-forwarded-for", value })),
  );
}

function forwarded(trustedHops: number, ...lines: string[]) {
  return clientAddress({ from: "XForwardedFor", trustedHops }, proxied, headers(...lines));
}

describe("clientAddress()", () => {
  test("from Connection is the TCP peer, whatever headers say", () => {
    const spoofed = headers("203.0.113.9");
    expect(clientAddress({ from: "Connection" }, proxied, spoofed)).toEqual({
      kind: "known",
      address: "10.0.0.1",
    });
  });

  test("from Connection is unknown when the connection is gone", () => {
    const gone = { address: "", port: 0 };
    expect(clientAddress({ from: "Connection" }, gone, headers()).kind).toBe("unknown");
  });

  test("from ProxyProtocol is what the PROXY header said, and unknown without one", () => {
    expect(clientAddress({ from: "ProxyProtocol" }, proxied, headers("203.0.113.9"))).toEqual({
      kind: "known",
      address: "192.0.2.7",
    });
    expect(clientAddress({ from: "ProxyProtocol" }, peer, headers("203.0.113.9"))).toEqual({
      kind: "unknown",
      detail: "The connection began without a PROXY header",
    });
  });

  test.each([
    [1, "192.0.2.3"],
    [2, "192.0.2.2"],
    [3, "192.0.2.1"],
  ])("from XForwardedFor with %i hops counts from the right", (hops, address) => {
    expect(forwarded(hops, "192.0.2.1, 192.0.2.2", "192.0.2.3")).toEqual({
      kind: "known",
      address,
    });
  });

  test("from XForwardedFor is unknown with fewer entries than hops, never the peer", () => {
    expect(forwarded(4, "192.0.2.1, 192.0.2.2", "192.0.2.3")).toEqual({
      kind: "unknown",
      detail: "X-Forwarded-For has 3 entries, trustedHops is 4",
    });
    expect(forwarded(1)).toEqual({
      kind: "unknown",
      detail: "X-Forwarded-For has 0 entries, trustedHops is 1",
    });
  });

  test("from XForwardedFor does not look at what stands left of the trusted entries", () => {
    expect(forwarded(1, "<script>, 192.0.2.3")).toMatchObject({ address: "192.0.2.3" });
    expect(forwarded(2, "<script>, 192.0.2.3").kind).toBe("unknown");
  });
});

describe("canonicalAddress()", () => {
  test.each([
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["fe80::1%eth0", "fe80::1"],
    ["2001:DB8::0", "2001:db8::"],
    [undefined, ""],
    ["", ""],
    ["/run/socket", ""],
  ])("makes of %s %s", (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
  });
});
