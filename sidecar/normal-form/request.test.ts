import { describe, expect, test } from "@jest/globals";
import { readRequest } from "./request.ts";

const GUARDS = { identity: new Set(["x-user"]), credential: new Set(["x-key", "x_odd"]) };
const raw = (...headers: string[]): Parameters<typeof readRequest>[0] => ({
  method: "GET",
  target: "/",
  version: "1.1",
  headers: ["Host", "a", ...headers],
});

describe("readRequest()", () => {
  test("keeps order and spelling of what it keeps", () => {
    const read = readRequest(raw("X-B", "1", "x-a", "2", "X-B", "3"), GUARDS);
    expect(read).toMatchObject({
      headers: {
        lines: [
          { name: "Host", key: "host", value: "a" },
          { name: "X-B", key: "x-b", value: "1" },
          { name: "x-a", key: "x-a", value: "2" },
          { name: "X-B", key: "x-b", value: "3" },
        ],
      },
    });
  });

  test.each(["X-User", "x_user", "X.User", "x!USER", "X_USER"])(
    "strips the identity in %s",
    (name) => {
      expect(readRequest(raw(name, "admin"), GUARDS)).toMatchObject({
        headers: { lines: [{ key: "host" }] },
      });
    },
  );

  test("reads a name the same way the second time, by the policy of then, after thousands of others", () => {
    const free = { identity: new Set<string>(), credential: new Set<string>() };
    const read = (): unknown[] => [
      readRequest(raw("X-User", "1"), GUARDS),
      readRequest(raw("X-User", "1"), free),
      readRequest(raw("x_odd", "\u00e9"), GUARDS),
      readRequest(raw("x_odd", "\u00e9"), free),
      readRequest(raw("X_Key", "t"), GUARDS),
      readRequest(raw("X_Key", "t"), free),
      readRequest(raw("Origin", "a", "ORIGIN", "a"), free),
      readRequest(raw("Origin", "\u00e9"), free),
      readRequest(raw("Bad Name", "a"), free),
      readRequest(raw("X".repeat(300), "a"), free),
    ];
    const first = read();
    const codes = first.map((one) => (one as { code?: string }).code ?? "read");
    expect(codes.slice(0, 6).join()).toBe("read,read,request.header,read,request.header,read");
    expect(codes.slice(6).join()).toBe("request.header,request.header,request.header,read");
    expect(read()).toEqual(first);
    for (let index = 0; index < 3_000; index++) readRequest(raw(`X-Own-${index}`, "a"), free);
    expect(read()).toEqual(first);
  });

  test("a credential header that policy spells with an underscore is itself, not an alias", () => {
    expect(readRequest(raw("x_odd", "t"), GUARDS)).toMatchObject({
      headers: { lines: [{ key: "host" }, { key: "x_odd" }] },
    });
  });

  test.each([
    ["X_Key", "t", "request.header"],
    ["x_forwarded_for", "1", "request.header"],
    ["Content_Type", "a", "request.header"],
    ["Authoriz ation", "a", "request.header"],
    ["", "a", "request.header"],
    ["X", "a\u0000", "request.header"],
    ["X", "a\u0100", "request.header"],
    ["Authorization", "\u00e9", "request.header"],
    ["X-Key", "\u00e9", "request.header"],
    ["Connection", "X-Key", "request.header"],
    ["Connection", "x_odd", "request.header"],
    ["Connection", "x.user", "request.header"],
    ["Transfer-Encoding", "chunked, chunked", "request.malformed"],
    ["Content-Length", "1e3", "request.malformed"],
    ["Expect", "x", "request.expectation"],
    ["Upgrade", "TLS/1.0", "request.upgrade"],
    ["Host", "b", "request.host"],
  ])("refuses %s: %j", (name, value, code) => {
    expect(readRequest(raw(name, value), GUARDS)).toMatchObject({ code });
  });

  test.each(["CONNECT", "TRACE", "Trace", "track", "", "G T"])(
    "refuses the method %j",
    (method) => {
      expect(readRequest({ ...raw(), method }, GUARDS)).toMatchObject({ code: "request.method" });
    },
  );

  test("counts and weighs the head by itself, whatever the protocol's parser allows", () => {
    const many = Array.from({ length: 100 }, () => ["X", "1"]).flat();
    expect(readRequest(raw(...many), GUARDS)).toMatchObject({ code: "request.header-size" });
    expect(readRequest(raw("X", "a".repeat(33_000)), GUARDS)).toMatchObject({
      code: "request.header-size",
    });
  });

  test.each([
    [true, [], { kind: "chunked" }],
    [false, [], { kind: "none" }],
    [true, ["content-length", "5"], { kind: "length", bytes: 5 }],
  ])("HTTP/2 says by itself whether a body follows: %j, %j", (hasBody, headers, framing) => {
    const read = readRequest({ ...raw(...headers), version: "2", hasBody }, GUARDS);
    expect(read).toMatchObject({ framing });
  });

  test.each(["1.0", "2"] as const)("HTTP/%s has no transfer codings", (version) => {
    const read = readRequest({ ...raw("Transfer-Encoding", "chunked"), version }, GUARDS);
    expect(read).toMatchObject({ code: "request.malformed" });
  });

  test("HTTP/1.0 waits for no interim answer", () => {
    const read = readRequest({ ...raw("Expect", "100-continue"), version: "1.0" }, GUARDS);
    expect(read).toMatchObject({ expectsContinue: false });
  });
});
