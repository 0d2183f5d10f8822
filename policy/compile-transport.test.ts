import { describe, expect, test } from "@jest/globals";
import type { TransportSpec } from "./api/transport.ts";
import { compileTransport } from "./compile-transport.ts";

const ref = {
  kind: "ApiSecurityPolicy",
  namespace: "shop",
  name: "orders",
  generation: 1,
} as const;

function compiled(parts: Partial<TransportSpec>) {
  const spec: TransportSpec = {
    tls: "Permissive",
    clientAddress: { from: "Connection" },
    ...parts,
  };
  return compileTransport(ref, spec, "Observe");
}

describe("compileTransport()", () => {
  test("writes out what is not asked, and inherits the mode", () => {
    expect(compiled({})).toEqual({
      problems: [],
      transport: {
        mode: "Observe",
        tls: "Permissive",
        clientAddress: { from: "Connection" },
        ipAccess: { allow: { kind: "any" }, deny: [] },
      },
    });
  });

  test("its own mode wins", () => {
    expect(compiled({ mode: "Enforce", tls: "Strict" }).transport).toMatchObject({
      mode: "Enforce",
      tls: "Strict",
    });
  });

  test("keeps the hops of X-Forwarded-For alone", () => {
    const from = (spec: TransportSpec["clientAddress"]) =>
      compiled({ clientAddress: spec }).transport.clientAddress;
    expect(from({ from: "XForwardedFor", trustedHops: 2 })).toEqual({
      from: "XForwardedFor",
      trustedHops: 2,
    });
    expect(from({ from: "ProxyProtocol" })).toEqual({ from: "ProxyProtocol" });
  });

  test("gives every network its one spelling, once", () => {
    const { transport, problems } = compiled({
      ipAccess: { allow: ["2001:DB8:0::/48", "2001:db8::/48", "10.0.0.0/8"], deny: ["::/0"] },
    });
    expect(problems).toEqual([]);
    expect(transport.ipAccess).toEqual({
      allow: { kind: "listed", networks: ["2001:db8::/48", "10.0.0.0/8"] },
      deny: ["::/0"],
    });
  });

  test("a list of nothing stays a list of nothing, which is nobody", () => {
    expect(compiled({ ipAccess: { allow: [] } }).transport.ipAccess.allow).toEqual({
      kind: "listed",
      networks: [],
    });
  });

  test("names the network that is none", () => {
    const { problems } = compiled({
      ipAccess: { allow: ["10.0.0.0/8", "10.0.0.1/8"], deny: ["orders"] },
    });
    expect(problems).toMatchObject([
      {
        reason: "NetworkInvalid",
        severity: "error",
        path: "spec.transport.ipAccess.allow[1]",
        message: expect.stringContaining("write 10.0.0.0/8"),
      },
      { reason: "NetworkInvalid", path: "spec.transport.ipAccess.deny[0]" },
    ]);
  });
});
