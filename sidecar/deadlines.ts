/**
 * Deadlines for many requests on one timer: arming and disarming cost a set operation, not a timer each. A
 * deadline fires at most one tick late, never early. As many as there are exchanges in flight.
 */
import type { Clock } from "../runtime/clock.ts";

interface Deadline {
  readonly atMs: number;
  readonly fire: () => void;
}

/** Fine enough for deadlines of a second and more. */
const TICK_MS = 100;

export class Deadlines {
  readonly #clock: Clock;
  readonly #armed = new Set<Deadline>();
  readonly #end = new AbortController();
  #ticking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `fire` once after `ms`, unless the returned function is called before. */
  arm(ms: number, fire: () => void): () => void {
    const deadline = { atMs: this.#clock.now() + ms, fire };
    this.#armed.add(deadline);
    if (!this.#ticking) void this.#tick();
    return () => {
      this.#armed.delete(deadline);
    };
  }

  get size(): number {
    return this.#armed.size;
  }

  /** Forgets all deadlines; none fires any more. */
  close(): void {
    this.#armed.clear();
    this.#end.abort(new Error("closed"));
  }

  async #tick(): Promise<void> {
    this.#ticking = true;
    while (this.#armed.size > 0 && !this.#end.signal.aborted) {
      try {
        await this.#clock.sleep(TICK_MS, this.#end.signal);
      } catch {
        // Closed: there is nothing left to fire.
        break;
      }
      const now = this.#clock.now();
      for (const deadline of this.#armed) {
        if (deadline.atMs > now) continue;
        this.#armed.delete(deadline);
        deadline.fire();
      }
    }
    this.#ticking = false;
  }
}
