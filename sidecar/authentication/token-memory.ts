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
  /** Of heap, estimated generously from what the tokens say. */
  readonly maxBytes: number;
}

const DEFAULT_LIMITS: TokenMemoryLimits = { maxEntries: 10_000, maxBytes: 16 * 1024 * 1024 };

/** Digest, entry of the map, and the subject around the claims. */
const ENTRY_BYTES = 512;
/** Measured on 64 bits: what JSON makes of 12 KB of text takes from 10 to 256 KB of heap, by its form. */
const TEXT_BYTES = 24;
const OBJECT_BYTES = 64;
const ITEM_BYTES = 16;
const MEMBER_BYTES = 64;

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
      keyOf: (text) => `${layer} ${hash("sha256", text, "base64")}`,
      recall: (key, nowMs) => this.#recall(key, nowMs),
      remember: (key, subject, lifetime) => this.#remember(key, subject, lifetime),
    };
  }

  #recall(digest: string, nowMs: number): Subject | undefined {
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

  #remember(digest: string, subject: Subject, lifetime: Lifetime): void {
    const bytes = ENTRY_BYTES + freezeAndWeigh(subject);
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
    this.#entries.set(digest, { subject, lifetime, bytes });
    this.#bytes += bytes;
  }

  #forget(digest: string, entry: Remembered): void {
    this.#entries.delete(digest);
    this.#bytes -= entry.bytes;
  }
}

export interface LayerTokens {
  /** The SHA-256 of the text as it came: tokens have one spelling each, see token.ts. */
  keyOf(text: string): string;
  /** Whom the token names, if it has verified before and counts at `nowMs`. */
  recall(key: string, nowMs: number): Subject | undefined;
  remember(key: string, subject: Subject, lifetime: Lifetime): void;
}

/** Many requests share it from now on. A loop, since the issuer says how deep it goes. Tells about how much heap it takes. */
function freezeAndWeigh(subject: Subject): number {
  let bytes = 0;
  const open: unknown[] = [subject];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value === "string") bytes += TEXT_BYTES + 2 * value.length;
    if (typeof value !== "object" || value === null) continue;
    Object.freeze(value);
    bytes += OBJECT_BYTES;
    if (Array.isArray(value) || value instanceof Set) {
      for (const item of value) {
        bytes += ITEM_BYTES;
        open.push(item);
      }
    } else {
      for (const [name, member] of Object.entries(value)) {
        bytes += MEMBER_BYTES + name.length;
        open.push(member);
      }
    }
  }
  return bytes;
}
