/**
 * Remembers which tokens have verified, so that the second request with a token costs a digest and a look-up.
 * A token is known by the SHA-256 of its whole text and never kept itself. Only a yes is remembered, of one
 * layer of one bundle: another policy or another key is another memory, and a token that failed is verified
 * anew, lest a refusal outlive its reason (a clock that was late, keys that were away) or strangers fill the
 * memory. Bounded by entries and by bytes; what was not used for longest goes first.
 */
import { hash } from "node:crypto";
import type { Subject } from "./subject.ts";
import type { Lifetime } from "./verify.ts";

export interface TokenMemoryLimits {
  readonly maxEntries: number;
  /** Of heap, as estimated from the tokens' lengths. */
  readonly maxBytes: number;
}

const DEFAULT_LIMITS: TokenMemoryLimits = { maxEntries: 10_000, maxBytes: 16 * 1024 * 1024 };

/** Measured: 1.1 KB for 236 characters of claims; a claim's text is kept about twice, with its object around it. */
const ENTRY_BYTES = 512;
const BYTES_PER_CHAR = 2;

export interface TokenKey {
  readonly digest: string;
  readonly chars: number;
}

interface Remembered {
  readonly subject: Subject;
  readonly lifetime: Lifetime;
  readonly bytes: number;
}

export class TokenMemory {
  readonly #limits: TokenMemoryLimits;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Remembered>();
  #bytes = 0;
  #layers = 0;

  constructor(limits: TokenMemoryLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A part of its own, within the common bounds: what one layer accepts says nothing to another. */
  forLayer(): LayerTokens {
    const layer = String(this.#layers++);
    return {
      keyOf: (text) => ({
        digest: `${layer} ${hash("sha256", text, "base64")}`,
        chars: text.length,
      }),
      recall: (key, nowMs) => this.#recall(key, nowMs),
      remember: (key, subject, lifetime) => this.#remember(key, subject, lifetime),
    };
  }

  #recall({ digest }: TokenKey, nowMs: number): Subject | undefined {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    if (nowMs < entry.lifetime.fromMs || nowMs >= entry.lifetime.untilMs) {
      this.#forget(digest, entry);
      return undefined;
    }
    this.#entries.delete(digest);
    this.#entries.set(digest, entry);
    return entry.subject;
  }

  #remember({ digest, chars }: TokenKey, subject: Subject, lifetime: Lifetime): void {
    const bytes = ENTRY_BYTES + BYTES_PER_CHAR * chars;
    if (bytes > this.#limits.maxBytes) return;
    const known = this.#entries.get(digest);
    if (known !== undefined) this.#forget(digest, known);
    for (const [oldest, entry] of this.#entries) {
      if (
        this.#entries.size < this.#limits.maxEntries &&
        this.#bytes + bytes <= this.#limits.maxBytes
      )
        break;
      this.#forget(oldest, entry);
    }
    this.#entries.set(digest, { subject: frozen(subject), lifetime, bytes });
    this.#bytes += bytes;
  }

  #forget(digest: string, entry: Remembered): void {
    this.#entries.delete(digest);
    this.#bytes -= entry.bytes;
  }
}

export interface LayerTokens {
  /** Of the text as it came: tokens have one spelling each, see token.ts. */
  keyOf(text: string): TokenKey;
  /** Whom the token names, if it has verified before and counts at `nowMs`. */
  recall(key: TokenKey, nowMs: number): Subject | undefined;
  remember(key: TokenKey, subject: Subject, lifetime: Lifetime): void;
}

/** Many requests share it from now on. */
function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) frozen(member);
  return Object.freeze(value);
}
