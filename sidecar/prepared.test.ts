import { describe, expect, test } from "@jest/globals";
import type { Transport } from "../policy/bundle.ts";
import { bundle, layer, transport } from "../test/support/bundles.ts";
import { prepare, prepareClosed } from "./prepared.ts";

const asking = (mode: Transport["mode"]) =>
  layer({ transport: transport({ mode, clientAddress: { from: "ProxyProtocol" } }) });
const other = layer({ transport: transport() });

describe("prepare()", () => {
  test.each([
    ["none where no layer asks", [other, layer()], "none"],
    ["required where one enforces", [other, asking("Observe"), asking("Enforce")], "required"],
    ["optional where all that ask observe", [asking("Observe"), other], "optional"],
  ])("a PROXY header is %s", async (_title, layers, use) => {
    expect((await prepare(bundle({ layers }))).proxyHeader).toBe(use);
  });

  test("a PROXY header is optional where everything is refused: nobody knows what was asked", async () => {
    const closed = { code: "policy.invalid", detail: "broken" } as const;
    expect((await prepare(bundle({ layers: [layer({ closed })] }))).proxyHeader).toBe("optional");
    expect((await prepare(bundle({ closed }))).proxyHeader).toBe("optional");
    expect(prepareClosed("policy.waiting", "not yet").proxyHeader).toBe("optional");
  });

  test("an ipAccess that asks nothing costs nothing", async () => {
    const { layers } = await prepare(bundle({ layers: [other] }));
    expect(layers[0]?.transport).not.toHaveProperty("ipAccess");
  });
});
