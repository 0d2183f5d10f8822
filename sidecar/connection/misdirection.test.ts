import { describe, expect, test } from "@jest/globals";
import { misdirection } from "./misdirection.ts";

const tls = { version: "TLSv1.3", serverName: "orders.example" };
const client = { address: "127.0.0.1", port: 1, tls };

describe("misdirection()", () => {
  test.each(["orders.example", "orders.example:8443"])("lets %s through", (host) => {
    expect(misdirection(client, host)).toBeUndefined();
  });

  test.each([
    "cart.example",
    "orders.example.evil",
    "evil.orders.example",
    "orders.exampl",
    "127.0.0.1",
    "[::1]:443",
  ])("refuses %s on a connection for orders.example", (host) => {
    expect(misdirection(client, host)).toMatchObject({ code: "transport.misdirected" });
  });

  test("has nothing to compare without SNI, or without TLS", () => {
    const unnamed = { address: "127.0.0.1", port: 1, tls: { version: "TLSv1.3" } };
    expect(misdirection(unnamed, "anything")).toBeUndefined();
    expect(misdirection({ address: "127.0.0.1", port: 1 }, "anything")).toBeUndefined();
  });
});
