import { describe, expect, test } from "@jest/globals";
import type { Transport } from "../../policy/bundle.ts";
import { bundle, layer, transport as asks } from "../../test/support/bundles.ts";
import type { ClientOrigin } from "../connection/inbound.ts";
import { readRequest } from "../normal-form/request.ts";
import { prepare } from "../prepared.ts";
import type { CheckInput } from "./check.ts";
import { PASS } from "./check.ts";
import { transport } from "./transport.ts";

const plain: ClientOrigin = { address: "10.0.0.1", port: 1 };
const encrypted: ClientOrigin = { ...plain, tls: { version: "TLSv1.3" } };

async function input(
  section: Partial<Transport> | undefined,
  client: ClientOrigin = plain,
  forwardedFor?: string,
): Promise<CheckInput> {
  const parts = section === undefined ? {} : { transport: asks(section) };
  const prepared = await prepare(bundle({ layers: [layer(parts)] }));
  const headers = ["Host", "a"];
  if (forwardedFor !== undefined) headers.push("X-Forwarded-For", forwardedFor);
  const raw = { method: "GET", target: "/", version: "1.1", headers } as const;
  const request = readRequest(raw, prepared.guards);
  const only = prepared.layers[0];
  if ("code" in request || only === undefined) throw new TypeError("Cannot ask");
  const findings = { clientAddress: undefined, rule: undefined, subject: undefined };
  return { request, client, nowMs: 0, layer: only, findings };
}

describe("transport", () => {
  test("passes a layer that does not ask", async () => {
    const asked = await input(undefined);
    expect(transport.evaluate(asked)).toEqual(PASS);
    expect(asked.findings.clientAddress).toBeUndefined();
  });

  test.each([
    ["Strict", plain, "transport.tls-required"],
    ["Strict", encrypted, "pass"],
    ["Permissive", plain, "pass"],
    ["Permissive", encrypted, "pass"],
    ["Plaintext", plain, "pass"],
    ["Plaintext", encrypted, "transport.tls-refused"],
  ] as const)("tls: %s", async (tls, client, outcome) => {
    const verdict = await transport.evaluate(await input({ tls }, client));
    expect(verdict.kind === "pass" ? "pass" : verdict.denial.code).toBe(outcome);
  });

  test("an address that is denied is a refusal", async () => {
    const ipAccess = { allow: { kind: "any" }, deny: ["10.0.0.0/8"] } as const;
    expect(transport.evaluate(await input({ ipAccess }))).toMatchObject({
      kind: "refusal",
      denial: { code: "transport.ip-denied", detail: "ipAccess.deny has 10.0.0.1" },
      observed: false,
    });
  });

  test("an address that is not listed is a refusal", async () => {
    const ipAccess = { allow: { kind: "listed", networks: ["192.0.2.0/24"] }, deny: [] } as const;
    expect(transport.evaluate(await input({ ipAccess }))).toMatchObject({
      kind: "refusal",
      denial: { code: "transport.ip-denied", detail: "ipAccess.allow does not have 10.0.0.1" },
    });
  });

  test("an address that cannot be told is undecided, not a refusal, also without ipAccess", async () => {
    const clientAddress = { from: "XForwardedFor", trustedHops: 1 } as const;
    expect(transport.evaluate(await input({ clientAddress }))).toMatchObject({
      kind: "undecided",
      denial: { code: "transport.client-address" },
      observed: false,
    });
  });

  test("mode Observe observes each of these", async () => {
    const observing = [
      await input({ mode: "Observe", tls: "Strict" }),
      await input({ mode: "Observe", ipAccess: { allow: { kind: "any" }, deny: ["0.0.0.0/0"] } }),
      await input({ mode: "Observe", clientAddress: { from: "ProxyProtocol" } }),
    ];
    for (const each of observing) {
      expect(transport.evaluate(each)).toMatchObject({ observed: true });
    }
  });

  test("finds the address by its own rule, for the record", async () => {
    const clientAddress = { from: "XForwardedFor", trustedHops: 1 } as const;
    const asked = await input({ clientAddress }, plain, "203.0.113.9, 192.0.2.7");
    expect(transport.evaluate(asked)).toEqual(PASS);
    expect(asked.findings.clientAddress).toBe("192.0.2.7");
  });
});
