/**
 * The certificate that the sidecar shows, its key, and the CAs of clients: files, read again when they change. A
 * broken file changes nothing: what was read before goes on, with an error in the log and a counter.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError, describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import type { Metrics } from "../metrics.ts";
import { watchPaths } from "../bundle/watch-paths.ts";

export interface TlsFiles {
  /** PEM: the certificate, then its intermediates. */
  readonly cert: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** PEM of the CAs whose client certificates count. Absent: clients are not asked for one. */
  readonly clientCa?: string;
}

export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
  readonly notAfterMs: number;
}

export interface WatchedTlsFiles extends Disposable {
  readonly current: TlsMaterial;
  /** Called after each change; returns how to stop that. */
  onChange(listener: () => void): () => void;
}

/** A bundle of all public CAs has about 200 KiB. */
const MAX_FILE_BYTES = 1024 * 1024;
/** Two files are rewritten one after the other; what counts is how they look after that. */
const SETTLE_MS = 50;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Throws PosternError `settings.invalid`, which names the file and what is wrong with it. */
export async function readTlsFiles(files: TlsFiles): Promise<TlsMaterial> {
  const cert = await readPem(files.cert);
  const key = await readPem(files.key);
  const leaf = await attempt(files.cert, "is not a certificate in PEM form", () => {
    return new X509Certificate(cert);
  });
  const privateKey = await attempt(files.key, "is not a private key in PEM form", () => {
    return createPrivateKey(key);
  });
  if (!leaf.checkPrivateKey(privateKey)) {
    throw invalid(files.key, `does not belong to the certificate in ${JSON.stringify(files.cert)}`);
  }
  const material = { cert, key, notAfterMs: leaf.validToDate.getTime() };
  const clientCa = files.clientCa === undefined ? undefined : await readCas(files.clientCa);
  const whole = clientCa === undefined ? material : { ...material, clientCa };
  await attempt(files.cert, "cannot be used by TLS", () => {
    return createSecureContext({ cert, key, ...(clientCa !== undefined && { ca: clientCa }) });
  });
  return whole;
}

/** Reads the files, and again whenever one changes. */
export async function watchTlsFiles(
  files: TlsFiles,
  {
    clock,
    log,
    metrics,
  }: { readonly clock: Clock; readonly log: Log; readonly metrics: Pick<Metrics, "count"> },
): Promise<WatchedTlsFiles> {
  const paths = [files.cert, files.key, ...(files.clientCa === undefined ? [] : [files.clientCa])];
  const control = new AbortController();
  // Before the first reading: what changes between the two is not missed.
  const changes = watchPaths(paths, { clock, log, signal: control.signal });
  let current: TlsMaterial;
  try {
    current = await readTlsFiles(files);
  } catch (cause) {
    control.abort(cause);
    throw cause;
  }
  warnOfEnd(current, clock, log);
  const listeners = new Set<() => void>();
  const follow = async (): Promise<void> => {
    for await (const _ of changes) {
      await clock.sleep(SETTLE_MS, control.signal);
      try {
        const next = await readTlsFiles(files);
        if (isSame(next, current)) continue;
        current = next;
        log.info("TLS files read again", { notAfter: new Date(next.notAfterMs).toISOString() });
        warnOfEnd(next, clock, log);
        for (const listener of listeners) listener();
      } catch (cause) {
        metrics.count("postern_tls_reload_failures_total");
        log.error("TLS files are unusable; keeping those read before", { error: describe(cause) });
      }
    }
  };
  follow().catch((cause: unknown) => {
    if (!control.signal.aborted) {
      log.error("TLS files are no longer watched", { error: describe(cause) });
    }
  });
  return {
    get current() {
      return current;
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    [Symbol.dispose]: () => control.abort(new PosternError("aborted", "No longer watched")),
  };
}

async function readPem(path: string): Promise<string> {
  return attempt(path, "cannot be read", async () => {
    const text = await readFile(path, "utf8");
    if (text.length > MAX_FILE_BYTES) {
      throw new RangeError(`it has more than ${MAX_FILE_BYTES} bytes`);
    }
    return text;
  });
}

/** At least one, and each a CA: a leaf among them would vouch for nobody, and its owner would wonder why. */
async function readCas(path: string): Promise<string> {
  const text = await readPem(path);
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw invalid(path, "has no certificate in PEM form");
  for (const [index, block] of blocks.entries()) {
    const ca = await attempt(
      path,
      `has a certificate that cannot be read (number ${index + 1})`,
      () => {
        return new X509Certificate(block);
      },
    );
    if (!ca.ca) throw invalid(path, `has a certificate that is not a CA (number ${index + 1})`);
  }
  return text;
}

async function attempt<T>(path: string, problem: string, make: () => T | Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (cause) {
    throw invalid(path, problem, cause);
  }
}

function invalid(path: string, problem: string, cause?: unknown): PosternError {
  return new PosternError("settings.invalid", `The TLS file ${JSON.stringify(path)} ${problem}`, {
    cause,
  });
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa;
}

/** Taken nevertheless: clients will say so, and a sidecar that does not start says less. */
function warnOfEnd({ notAfterMs }: TlsMaterial, clock: Clock, log: Log): void {
  if (notAfterMs > clock.now()) return;
  log.error("The TLS certificate has expired", { notAfter: new Date(notAfterMs).toISOString() });
}
