import { describe, expect, test } from "@jest/globals";
import { PosternError } from "../runtime/error.ts";
import { readConfig } from "./config.ts";

const MINIMUM = { POSTERN_NAMESPACE: "postern-system", POSTERN_NATS_URL: "nats://nats:4222" };

describe("readConfig()", () => {
  test("needs a namespace and a bus, and has a default for everything else", () => {
    expect(readConfig(MINIMUM)).toMatchObject({
      namespace: "postern-system",
      natsServers: ["nats://nats:4222"],
      natsReplicas: 1,
      keysRefreshMs: 300_000,
      keysMaxStaleMs: 86_400_000,
      admin: { host: "::", port: 15022 },
    });
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ["nothing", {}, /POSTERN_NAMESPACE: is required[^]*POSTERN_NATS_URL: is required/],
    ["a misspelt name", { ...MINIMUM, POSTERN_KEY_REFRESH: "1m" }, /did you mean POSTERN_KEYS_/],
    ["an even number of replicas", { ...MINIMUM, POSTERN_NATS_REPLICAS: "2" }, /must be 1, 3 or 5/],
    [
      "two kinds of credentials",
      { ...MINIMUM, POSTERN_NATS_TOKEN_FILE: "/a", POSTERN_NATS_CREDENTIALS_FILE: "/b" },
      /only one can be used/,
    ],
    [
      "a certificate without its key",
      { ...MINIMUM, POSTERN_NATS_CERT_FILE: "/a" },
      /both are required/,
    ],
    [
      "keys that expire before they are refreshed",
      { ...MINIMUM, POSTERN_KEYS_MAX_STALE: "1m" },
      /must not be shorter/,
    ],
    ["a refresh that burdens issuers", { ...MINIMUM, POSTERN_KEYS_REFRESH: "10ms" }, /at least 1s/],
  ])("refuses %s", (_title, environment, message) => {
    let refusal: unknown;
    try {
      readConfig(environment);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(PosternError);
    expect(refusal).toMatchObject({
      code: "settings.invalid",
      message: expect.stringMatching(message),
    });
  });
});
