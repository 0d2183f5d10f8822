/**
 * What one connection may ask for without a request's worth in it: resets, pings, settings. A bucket that
 * refills with time and with honest work, so that a busy caller has room and a flood has none (CVE-2023-44487,
 * CVE-2019-9512, CVE-2019-9515).
 */
import type { Clock } from "../../runtime/clock.ts";

export interface Allowance {
  /** At once. */
  readonly burst: number;
  readonly perSecond: number;
}

export class Budget {
  readonly #allowance: Allowance;
  readonly #clock: Pick<Clock, "now">;
  #left: number;
  #sinceMs: number;

  constructor(allowance: Allowance, clock: Pick<Clock, "now">) {
    this.#allowance = allowance;
    this.#clock = clock;
    this.#left = allowance.burst;
    this.#sinceMs = clock.now();
  }

  /** False: it is used up. */
  spend(): boolean {
    const now = this.#clock.now();
    // A clock that is set back refills nothing.
    const seconds = Math.max(0, now - this.#sinceMs) / 1000;
    this.#sinceMs = now;
    this.#add(seconds * this.#allowance.perSecond);
    this.#left -= 1;
    return this.#left >= 0;
  }

  /** Honest work was done. */
  refund(): void {
    this.#add(1);
  }

  #add(amount: number): void {
    this.#left = Math.min(this.#allowance.burst, this.#left + amount);
  }
}
