import { describe, expect, test } from "@jest/globals";
import { addressText, parseAddress, parseUpstream } from "./address.ts";

describe("parseAddress()", () => {
  test.each([
    ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
    ["[::1]:0", { host: "::1", port: 0 }],
    ["localhost:80", { host: "localhost", port: 80 }],
    [":9000", { host: "0.0.0.0", port: 9000 }],
    ["9000", { host: "127.0.0.1", port: 9000 }],
  ])("reads %s", (text, address) => {
    expect(parseAddress(text, "--listen")).toEqual(address);
  });

  test.each(["", "localhost", "1.2.3.4:99999", "::1:80", "[::1]", "a b:1", "host:-1", "[x]:1"])(
    "refuses %j and says how to write it",
    (text) => {
      expect(() => parseAddress(text, "--listen")).toThrow("--listen must be HOST:PORT");
    },
  );

  test("addressText() writes what it reads", () => {
    expect(addressText({ host: "::1", port: 1 })).toBe("[::1]:1");
    expect(addressText({ host: "127.0.0.1", port: 1 })).toBe("127.0.0.1:1");
  });
});

describe("parseUpstream()", () => {
  test("takes host and port", () => {
    expect(parseUpstream("http://127.0.0.1:3000", "--upstream")).toEqual({
      host: "127.0.0.1",
      port: 3000,
    });
    expect(parseUpstream("http://[::1]/", "--upstream")).toEqual({ host: "::1", port: 80 });
    expect(parseUpstream("unix:/run/app.sock", "--upstream")).toEqual({ path: "/run/app.sock" });
  });

  test.each([
    ["127.0.0.1:3000", "not a URL"],
    ["https://127.0.0.1", "scheme is https"],
    ["http://u:p@127.0.0.1", "user information"],
    ["http://127.0.0.1/api", "has a path"],
  ])("refuses %s", (text, why) => {
    expect(() => parseUpstream(text, "--upstream")).toThrow(why);
  });
});
