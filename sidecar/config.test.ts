import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { workloadName } from "../policy/workload-name.ts";
import { SETTINGS, parseLabels, readConfig } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "postern-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const GOOD = {
  POSTERN_UPSTREAM_URL: "http://127.0.0.1:8080",
  POSTERN_NATS_URL: "nats://a:4222,tls://b:4222",
  POSTERN_NAMESPACE: "shop",
  POSTERN_POD: "orders-7c9f-x2",
  POSTERN_WORKLOAD: "orders-1f2e3d4c",
  POSTERN_BUNDLE_KEYS_FILE: "/keys.json",
} as const;

function messageOf(more: Readonly<Record<string, string>>): string {
  try {
    readConfig({ ...GOOD, ...more });
  } catch (error) {
    expect(error).toMatchObject({ code: "settings.invalid" });
    return String(error);
  }
  throw new Error("It was accepted");
}

describe("readConfig()", () => {
  test("reads a sidecar's settings, with safe defaults", () => {
    expect(readConfig(GOOD)).toMatchObject({
      workload: { namespace: "shop", name: "orders-1f2e3d4c" },
      upstream: { host: "127.0.0.1", port: 8080 },
      listen: { host: "::", port: 15080 },
      admin: { host: "127.0.0.1", port: 15021 },
      natsServers: ["nats://a:4222", "tls://b:4222"],
      natsCredentials: undefined,
      natsTls: undefined,
      maxStaleMs: 86_400_000,
      drainTimeoutMs: 25_000,
      logLevel: "info",
    });
  });

  test("derives the workload from the labels that the downward API writes", () => {
    const path = join(folder, "labels");
    writeFileSync(path, 'app="orders"\npod-template-hash="7c9f"\nnote="a \\"quoted\\" word"\n');
    const { POSTERN_WORKLOAD: _, ...rest } = GOOD;
    const config = readConfig({ ...rest, POSTERN_POD_LABELS_FILE: path });
    expect(config.workload.name).toBe(workloadName({ app: "orders", note: 'a "quoted" word' }));
  });

  test("reads files with credentials and certificates", () => {
    const config = readConfig({
      ...GOOD,
      POSTERN_NATS_TOKEN_FILE: "/token",
      POSTERN_NATS_CA_FILE: "/ca.pem",
      POSTERN_UPSTREAM_URL: "http://[::1]",
    });
    expect(config.natsCredentials).toEqual({ kind: "token-file", path: "/token" });
    expect(config.natsTls).toEqual({ caFile: "/ca.pem" });
    expect(config.upstream).toEqual({ host: "::1", port: 80 });
    expect(readConfig({ ...GOOD, POSTERN_UPSTREAM_URL: "unix:///run/app.sock" }).upstream).toEqual({
      path: "/run/app.sock",
    });
    expect(config).not.toHaveProperty("tls");
  });

  test("reads the files of TLS", () => {
    const pair = { POSTERN_TLS_CERT_FILE: "/tls.crt", POSTERN_TLS_KEY_FILE: "/tls.key" };
    expect(readConfig({ ...GOOD, ...pair }).tls).toEqual({ cert: "/tls.crt", key: "/tls.key" });
    expect(readConfig({ ...GOOD, ...pair, POSTERN_TLS_CLIENT_CA_FILE: "/ca.crt" }).tls).toEqual({
      cert: "/tls.crt",
      key: "/tls.key",
      clientCa: "/ca.crt",
    });
  });

  test.each<readonly [string, Readonly<Record<string, string>>, string]>([
    ["no workload at all", { POSTERN_WORKLOAD: "" }, "POSTERN_POD_LABELS_FILE: exactly one"],
    ["both ways to a workload", { POSTERN_POD_LABELS_FILE: "/x" }, "exactly one is required"],
    [
      "labels that cannot be read",
      { POSTERN_WORKLOAD: "", POSTERN_POD_LABELS_FILE: "/nowhere/labels" },
      "POSTERN_POD_LABELS_FILE: cannot be read",
    ],
    [
      "two credentials",
      { POSTERN_NATS_TOKEN_FILE: "/a", POSTERN_NATS_CREDENTIALS_FILE: "/b" },
      "only one can be used",
    ],
    ["a TLS certificate without key", { POSTERN_TLS_CERT_FILE: "/a" }, "useless without the other"],
    ["a TLS key without certificate", { POSTERN_TLS_KEY_FILE: "/a" }, "useless without the other"],
    [
      "client CAs without a certificate",
      { POSTERN_TLS_CLIENT_CA_FILE: "/a" },
      "POSTERN_TLS_CLIENT_CA_FILE: needs POSTERN_TLS_CERT_FILE",
    ],
    ["a certificate without key", { POSTERN_NATS_CERT_FILE: "/a" }, "both are required"],
    [
      "an https upstream",
      { POSTERN_UPSTREAM_URL: "https://a" },
      "POSTERN_UPSTREAM_URL: must be http://",
    ],
    [
      "a socket with a host",
      { POSTERN_UPSTREAM_URL: "unix://run/app.sock" },
      "POSTERN_UPSTREAM_URL: must be",
    ],
    ["an upstream with a path", { POSTERN_UPSTREAM_URL: "http://a/b" }, "POSTERN_UPSTREAM_URL"],
    ["a misspelt name", { POSTERN_MAX_STALE: "1h" }, "POSTERN_MAX_STALE: is not a setting"],
    ["a password in a URL", { POSTERN_NATS_URL: "nats://u:p@a" }, "POSTERN_NATS_URL"],
  ])("refuses %s", (_name, more, expected) => {
    expect(messageOf(more)).toContain(expected);
  });

  test("every setting has a sentence", () => {
    for (const { name, sentence } of Object.values(SETTINGS)) {
      expect([name, sentence]).toEqual([name, expect.stringMatching(/^[A-Z].+\.$/)]);
    }
  });
});

describe("parseLabels()", () => {
  test.each(["app", "app=orders", '="x"', 'app="x'])("refuses %j", (line) => {
    expect(() => parseLabels(line)).toThrow(SyntaxError);
  });
});
