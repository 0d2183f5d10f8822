/**
 * The public keys by which bundles are believed: a JWKS (RFC 7517) of Ed25519 keys (RFC 8037), mounted by
 * Kubernetes and never taken from the bus. Read again when the file changes, so that keys can be rotated; a
 * broken file changes nothing.
 */
import { readFile } from "node:fs/promises";
import { importJWK } from "jose";
import type { CryptoKey } from "jose";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError, describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import { watchPaths } from "./watch-paths.ts";

const MAX_KEYS = 16;
const MAX_FILE_BYTES = 64 * 1024;
/** A file is rewritten in several steps; what counts is how it looks after them. */
const SETTLE_MS = 50;

export interface TrustedKeys {
  /** Undefined: not trusted. */
  get(kid: string): CryptoKey | undefined;
  readonly kids: readonly string[];
}

/** Throws PosternError `settings.invalid` with what is wrong. */
export async function readTrustedKeys(jwks: unknown): Promise<TrustedKeys> {
  const list = (jwks as { readonly keys?: unknown } | null | undefined)?.keys;
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_KEYS) {
    throw invalid(`must be a JWKS with 1 to ${MAX_KEYS} keys`);
  }
  const keys = new Map<string, CryptoKey>();
  for (const [index, jwk] of (list as readonly Readonly<Record<string, unknown>>[]).entries()) {
    const { kty, crv, kid, x, d } = jwk;
    if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string") {
      throw invalid(`keys[${index}]: must be of kty OKP and crv Ed25519`);
    }
    if (d !== undefined)
      throw invalid(`keys[${index}]: is a private key, only public keys belong here`);
    if (typeof kid !== "string" || kid === "") throw invalid(`keys[${index}].kid: is required`);
    if (keys.has(kid)) throw invalid(`keys[${index}].kid: ${JSON.stringify(kid)} is there twice`);
    try {
      const key = await importJWK({ kty, crv, x }, "EdDSA");
      if (key instanceof Uint8Array) throw new TypeError("It is a symmetric key");
      keys.set(kid, key);
    } catch (cause) {
      throw invalid(`keys[${index}].x: is not an Ed25519 public key`, cause);
    }
  }
  return { get: (kid) => keys.get(kid), kids: [...keys.keys()] };
}

export async function readTrustedKeysFile(path: string): Promise<TrustedKeys> {
  let parsed: unknown;
  try {
    const text = await readFile(path, "utf8");
    if (text.length > MAX_FILE_BYTES)
      throw new RangeError(`it has more than ${MAX_FILE_BYTES} bytes`);
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new PosternError("settings.invalid", `Cannot read bundle keys ${JSON.stringify(path)}`, {
      cause,
    });
  }
  return readTrustedKeys(parsed);
}

export interface WatchedKeys extends TrustedKeys, Disposable {
  /** Called after each change; returns how to stop that. */
  onChange(listener: () => void): () => void;
}

/** Reads the file, and again whenever it changes. */
export async function watchTrustedKeys(
  path: string,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<WatchedKeys> {
  let current = await readTrustedKeysFile(path);
  const listeners = new Set<() => void>();
  const control = new AbortController();
  const follow = async (): Promise<void> => {
    for await (const _ of watchPaths([path], { clock, log, signal: control.signal })) {
      await clock.sleep(SETTLE_MS, control.signal);
      try {
        current = await readTrustedKeysFile(path);
        log.info("Bundle keys read again", { kids: current.kids });
        for (const listener of listeners) listener();
      } catch (cause) {
        log.error("Bundle keys are unusable; keeping those read before", {
          error: describe(cause),
        });
      }
    }
  };
  follow().catch((cause: unknown) => {
    if (!control.signal.aborted) {
      log.error("Bundle keys are no longer watched", { error: describe(cause) });
    }
  });
  return {
    get: (kid) => current.get(kid),
    get kids() {
      return current.kids;
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    [Symbol.dispose]: () => control.abort(new PosternError("aborted", "No longer watched")),
  };
}

function invalid(what: string, cause?: unknown): PosternError {
  return new PosternError("settings.invalid", `Cannot use bundle keys: ${what}`, { cause });
}
