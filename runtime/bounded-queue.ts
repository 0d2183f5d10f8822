/**
 * A queue between somebody who must never wait and a reader who may be slow. It holds at most `capacity`
 * items; what happens to one too many is named by the policy, and counted.
 */

/** `oldest`: the newest are worth most (states, reports). `newest`: what was first is served first. */
export type DropPolicy = "oldest" | "newest";

export interface BoundedQueueOptions {
  readonly capacity: number;
  readonly drop: DropPolicy;
}

export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #capacity: number;
  readonly #drop: DropPolicy;
  #items: T[] = [];
  #dropped = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(options: BoundedQueueOptions) {
    if (!Number.isInteger(options.capacity) || options.capacity < 1) {
      throw new RangeError(
        `Cannot create queue: capacity must be a whole number from 1, current value is ${options.capacity}`,
      );
    }
    this.#capacity = options.capacity;
    this.#drop = options.drop;
  }

  get size(): number {
    return this.#items.length;
  }

  /** How many items were lost since the queue exists. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Never waits. False when an item was lost, this one or an older one, or when the queue has ended. */
  push(item: T): boolean {
    if (this.#ended) return false;
    let kept = true;
    if (this.#items.length === this.#capacity) {
      this.#dropped += 1;
      if (this.#drop === "newest") return false;
      this.#items.shift();
      kept = false;
    }
    this.#items.push(item);
    this.#wake?.();
    return kept;
  }

  /** What waits is still read; then the reader's loop ends. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        yield item;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
