import { describe, expect, test } from "@jest/globals";
import { PosternError } from "./error.ts";
import {
  address,
  bytes,
  durationMs,
  enabled,
  labelName,
  objectName,
  oneOf,
  url,
  urlList,
  words,
} from "./parsers.ts";
import { SettingProblem, optional, readSettings, required, setting } from "./settings.ts";

const TABLE = {
  upstream: setting("POSTERN_UPSTREAM_URL", url, required, "The application."),
  drainMs: setting("POSTERN_DRAIN_TIMEOUT", durationMs, "25s", "Below the grace period."),
  token: setting("POSTERN_NATS_TOKEN_FILE", (text) => text, optional, "A file."),
};

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof PosternError) {
      expect(error.code).toBe("settings.invalid");
      return error.message;
    }
    throw error;
  }
  throw new Error("It was accepted");
}

describe("readSettings()", () => {
  test("reads values, defaults and what is absent, into a frozen value", () => {
    const config = readSettings(TABLE, {
      POSTERN_UPSTREAM_URL: "http://127.0.0.1:8080",
      PATH: "x",
    });
    expect(config.upstream.port).toBe("8080");
    expect(config.drainMs).toBe(25_000);
    expect(config.token).toBeUndefined();
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("reports every mistake at once, each with its name and its value", () => {
    const message = messageOf(() =>
      readSettings(TABLE, { POSTERN_DRAIN_TIMEOUT: "soon", POSTERN_DRAIN_TIMEOUTS: "1s" }),
    );
    expect(message).toBe(
      [
        "Cannot read settings:",
        "POSTERN_DRAIN_TIMEOUTS: is not a setting, did you mean POSTERN_DRAIN_TIMEOUT?",
        "POSTERN_UPSTREAM_URL: is required. The application.",
        'POSTERN_DRAIN_TIMEOUT: must be a duration such as "30s" or "1h30m", current value is "soon"',
      ].join("\n  "),
    );
  });

  test("takes an empty text for absent", () => {
    expect(messageOf(() => readSettings(TABLE, { POSTERN_UPSTREAM_URL: "" }))).toContain(
      "POSTERN_UPSTREAM_URL: is required",
    );
  });

  test("does not guess when nothing is near", () => {
    const environment = { POSTERN_UPSTREAM_URL: "http://a", POSTERN_XYZZY: "1" };
    expect(messageOf(() => readSettings(TABLE, environment))).toContain(
      "POSTERN_XYZZY: is not a setting",
    );
    expect(messageOf(() => readSettings(TABLE, environment))).not.toContain("did you mean");
  });

  test("passes over what Kubernetes sets for a Service called postern, and nothing that looks like it", () => {
    const links = {
      POSTERN_SERVICE_HOST: "10.0.0.1",
      POSTERN_SERVICE_PORT: "443",
      POSTERN_SERVICE_PORT_HTTPS: "443",
      POSTERN_PORT: "tcp://10.0.0.1:443",
      POSTERN_NATS_PORT_4222_TCP: "tcp://10.0.0.2:4222",
      POSTERN_NATS_PORT_4222_TCP_ADDR: "10.0.0.2",
    };
    const upstream = { POSTERN_UPSTREAM_URL: "http://127.0.0.1:8080" };
    expect(() => readSettings(TABLE, { ...upstream, ...links })).not.toThrow();
    expect(
      messageOf(() => readSettings(TABLE, { ...upstream, POSTERN_ADMIN_PORTS: "1" })),
    ).toContain("POSTERN_ADMIN_PORTS");
  });

  test("passes a mistake of ours on", () => {
    const broken = () => {
      throw new TypeError("ours");
    };
    const table = { a: setting("POSTERN_A", broken, "x", "") };
    expect(() => readSettings(table, {})).toThrow(TypeError);
  });
});

describe("parsers", () => {
  test.each<readonly [string, () => unknown, unknown]>([
    ["duration of milliseconds", () => durationMs("500ms"), 500],
    ["duration of several units", () => durationMs("1h30m"), 5_400_000],
    ["duration with a fraction", () => durationMs("1.5s"), 1_500],
    ["duration of a day", () => durationMs("24h"), 86_400_000],
    ["size", () => bytes("64Ki"), 65_536],
    ["size without a unit", () => bytes("10"), 10],
    ["size by thousands", () => bytes("2M"), 2_000_000],
    ["address", () => address("127.0.0.1:80"), { host: "127.0.0.1", port: 80 }],
    ["address of IPv6", () => address("[::1]:80"), { host: "::1", port: 80 }],
    ["address of every interface", () => address(":80"), { host: "::", port: 80 }],
    ["words", () => words("a, b"), ["a", "b"]],
    ["Enabled", () => enabled("Enabled"), true],
    ["Disabled", () => enabled("Disabled"), false],
    ["one of", () => oneOf("a", "b")("b"), "b"],
    ["NATS URLs", () => urlList("nats", "tls")("nats://a:1,tls://b"), ["nats://a:1", "tls://b"]],
    ["pod name", () => objectName("orders-7c9f-x2"), "orders-7c9f-x2"],
    ["namespace", () => labelName("shop"), "shop"],
  ])("read a %s", (_name, act, expected) => {
    expect(act()).toEqual(expected);
  });

  test.each<readonly [string, () => unknown]>([
    ["duration without a unit", () => durationMs("30")],
    ["negative duration", () => durationMs("-30s")],
    ["empty duration", () => durationMs("")],
    ["duration of days", () => durationMs("1d")],
    ["endless duration", () => durationMs("999999999h")],
    ["size of a wrong unit", () => bytes("1Kb")],
    ["size with a fraction", () => bytes("1.5Ki")],
    ["huge size", () => bytes("99999999Gi")],
    ["address without a port", () => address("localhost")],
    ["port above the range", () => address("a:65536")],
    ["bare IPv6 address", () => address("::1:80")],
    ["URL of another scheme", () => url("ftp://a")],
    ["URL with a password", () => url("http://u:p@a")],
    ["URL with a query", () => url("http://a/?b")],
    ["text for a URL", () => url("a b")],
    ["empty word", () => words("a,,b")],
    ["truth value in another spelling", () => enabled("true")],
    ["unknown word", () => oneOf("a", "b")("c")],
    ["NATS URL with a password", () => urlList("nats")("nats://u:p@a")],
    ["NATS URL of another scheme", () => urlList("nats")("http://a")],
    ["pod name with a slash", () => objectName("a/b")],
    ["namespace with a dot", () => labelName("a.b")],
  ])("refuse a %s", (_name, act) => {
    expect(act).toThrow(SettingProblem);
  });
});
