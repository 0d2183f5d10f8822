import { rmSync } from "node:fs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import type { TlsFolder } from "../../test/support/acceptor.ts";
import { tlsFolder } from "../../test/support/acceptor.ts";
import type { Authority, Issued } from "../../test/support/certificates.ts";
import { authority } from "../../test/support/certificates.ts";
import { waitFor } from "../../test/support/wait.ts";
import { createMetrics } from "../metrics.ts";
import { readTlsFiles, watchTlsFiles } from "./tls-files.ts";

let ca: Authority;
let first: Issued;
let second: Issued;
let folder: TlsFolder;

beforeAll(async () => {
  ca = await authority();
  first = await ca.issue({ dns: ["a"] });
  second = await ca.issue({ dns: ["b"] });
});

beforeEach(() => {
  folder = tlsFolder(first, ca.cert);
});

afterEach(() => {
  folder[Symbol.dispose]();
});

describe("readTlsFiles()", () => {
  test("reads a certificate, its key, and the CAs of clients", async () => {
    const material = await readTlsFiles(folder.files);
    expect(material).toMatchObject({ ...first, clientCa: ca.cert });
    expect(Math.abs(material.notAfterMs - Date.now() - 3_600_000)).toBeLessThan(60_000);
  });

  test.each([
    ["a certificate that is none", "cert", "nonsense", 'tls.crt" is not a certificate'],
    ["a key that is none", "key", "nonsense", 'tls.key" is not a private key'],
    ["an empty key", "key", "", 'tls.key" is not a private key'],
    ["CAs that are none", "clientCa", "nonsense", 'ca.crt" has no certificate'],
    ["no CAs", "clientCa", "", 'ca.crt" has no certificate'],
  ] as const)("refuses %s, and names the file", async (_title, name, text, message) => {
    folder.write(name, text);
    await expect(readTlsFiles(folder.files)).rejects.toMatchObject({
      code: "settings.invalid",
      message: expect.stringContaining(message),
    });
  });

  test("refuses the key of another certificate", async () => {
    folder.write("key", second.key);
    await expect(readTlsFiles(folder.files)).rejects.toThrow("does not belong to the certificate");
  });

  test("refuses a leaf among the CAs", async () => {
    folder.write("clientCa", ca.cert + first.cert);
    await expect(readTlsFiles(folder.files)).rejects.toThrow("not a CA (number 2)");
  });

  test("refuses a file that is not there", async () => {
    rmSync(folder.files.key);
    await expect(readTlsFiles(folder.files)).rejects.toThrow("cannot be read");
  });
});

describe("watchTlsFiles()", () => {
  test("reads again what has changed, once per change", async () => {
    const metrics = createMetrics();
    using watched = await watchTlsFiles(folder.files, {
      clock: systemClock,
      log: silentLog,
      metrics,
    });
    let changes = 0;
    const stop = watched.onChange(() => {
      changes += 1;
    });
    folder.install(second);
    await waitFor("the new certificate", () => watched.current.cert === second.cert);
    expect(watched.current.key).toBe(second.key);
    expect(changes).toBe(1);
    stop();
    folder.install(first);
    await waitFor("the old certificate", () => watched.current.cert === first.cert);
    expect(changes).toBe(1);
  });

  test("keeps what it has read when a file breaks, says so, and recovers", async () => {
    const metrics = createMetrics();
    const errors: string[] = [];
    const log = { ...silentLog, error: (message: string): void => void errors.push(message) };
    using watched = await watchTlsFiles(folder.files, { clock: systemClock, log, metrics });
    folder.write("cert", second.cert);
    await waitFor("the error", () => metrics.value("postern_tls_reload_failures_total") > 0);
    expect(watched.current.cert).toBe(first.cert);
    expect(errors).toContain("TLS files are unusable; keeping those read before");
    folder.write("key", second.key);
    await waitFor("the new certificate", () => watched.current.cert === second.cert);
  });

  test("takes a certificate that has expired, and says so", async () => {
    const past = new Date(Date.now() - 1000);
    folder.install(await ca.issue({ notAfter: past }));
    const errors: string[] = [];
    const log = { ...silentLog, error: (message: string): void => void errors.push(message) };
    using watched = await watchTlsFiles(folder.files, {
      clock: systemClock,
      log,
      metrics: createMetrics(),
    });
    expect(watched.current.notAfterMs).toBeLessThan(Date.now());
    expect(errors).toEqual(["The TLS certificate has expired"]);
  });

  test("fails at the start when a file is broken", async () => {
    folder.write("cert", "nonsense");
    const watching = watchTlsFiles(folder.files, {
      clock: systemClock,
      log: silentLog,
      metrics: createMetrics(),
    });
    await expect(watching).rejects.toMatchObject({ code: "settings.invalid" });
  });
});
