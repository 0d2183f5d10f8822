import { describe, expect, test } from "@jest/globals";
import { readHost } from "./host.ts";

describe("readHost()", () => {
  test.each([
    ["A.Example", "a.example"],
    ["a:8080", "a:8080"],
    ["[::1]", "[::1]"],
    ["[2001:DB8::1]:443", "[2001:db8::1]:443"],
    ["127.0.0.1", "127.0.0.1"],
    ["my_service", "my_service"],
  ])("reads %s", (value, host) => {
    expect(readHost([value])).toEqual({ host });
  });

  test.each([
    [[]],
    [["a", "a"]],
    [[""]],
    [["a."]],
    [["a.:80"]],
    [["a:"]],
    [["a:x"]],
    [["a:65536"]],
    [["a:1:2"]],
    [["u@a"]],
    [["a/b"]],
    [["a%2e"]],
    [["a..b"]],
    [[".a"]],
    [["[::1"]],
    [["[::1]x"]],
    [["[fe80::1%eth0]"]],
    [["[a]"]],
    [["::1"]],
    [["a b"]],
    [["a".repeat(64)]],
    [["a.".repeat(140)]],
  ])("refuses %j", (values) => {
    expect(readHost(values)).toMatchObject({ code: "request.host" });
  });
});
