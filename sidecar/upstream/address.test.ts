import { describe, expect, test } from "@jest/globals";
import { readUpstream } from "./address.ts";

describe("readUpstream()", () => {
  test.each([
    ["http://127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
    ["http://[::1]/", { host: "::1", port: 80 }],
    ["http://localhost:1", { host: "localhost", port: 1 }],
    ["unix:/run/app.sock", { path: "/run/app.sock" }],
    ["unix:///run/app.sock", { path: "/run/app.sock" }],
    ["unix:///run/my%20app.sock", { path: "/run/my app.sock" }],
  ])("reads %s", (text, address) => {
    expect(readUpstream(text)).toEqual({ kind: "address", address });
  });

  test.each([
    ["127.0.0.1:3000", "not a URL"],
    ["https://127.0.0.1", "scheme is https"],
    ["http://u:p@127.0.0.1", "user information"],
    ["http://127.0.0.1/api", "has a path"],
    ["http://127.0.0.1/?a", "query"],
    ["unix://run/app.sock", "has a host"],
    ["unix:run/app.sock", "not that of a file"],
    ["unix:///run/", "not that of a file"],
    ["unix:///a%00b", "NUL"],
    ["unix:///a%zz", "percent-encoding"],
    ["unix:///a?b", "query"],
    [`unix:///${"a".repeat(107)}`, "longer than the 107 bytes"],
  ])("refuses %s", (text, why) => {
    expect(readUpstream(text)).toEqual({ kind: "no-address", why: expect.stringContaining(why) });
  });
});
