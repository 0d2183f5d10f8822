import { describe, expect, test } from "@jest/globals";
import { BoundedQueue } from "./bounded-queue.ts";

async function rest<T>(queue: BoundedQueue<T>): Promise<T[]> {
  queue.end();
  return Array.fromAsync(queue);
}

describe("BoundedQueue", () => {
  test("hands items on in order", async () => {
    const queue = new BoundedQueue<number>({ capacity: 3, drop: "oldest" });
    expect([queue.push(1), queue.push(2)]).toEqual([true, true]);
    expect(queue.size).toBe(2);
    expect(await rest(queue)).toEqual([1, 2]);
  });

  test("drops the oldest, and counts it", async () => {
    const queue = new BoundedQueue<number>({ capacity: 2, drop: "oldest" });
    expect([1, 2, 3, 4].map((n) => queue.push(n))).toEqual([true, true, false, false]);
    expect(queue.dropped).toBe(2);
    expect(await rest(queue)).toEqual([3, 4]);
  });

  test("drops the newest, and counts it", async () => {
    const queue = new BoundedQueue<number>({ capacity: 2, drop: "newest" });
    expect([1, 2, 3].map((n) => queue.push(n))).toEqual([true, true, false]);
    expect(queue.dropped).toBe(1);
    expect(await rest(queue)).toEqual([1, 2]);
  });

  test("wakes a reader that waits", async () => {
    const queue = new BoundedQueue<string>({ capacity: 2, drop: "oldest" });
    const reader = queue[Symbol.asyncIterator]();
    const next = reader.next();
    queue.push("a");
    expect(await next).toEqual({ done: false, value: "a" });
    const end = reader.next();
    queue.end();
    expect((await end).done).toBe(true);
  });

  test("takes nothing after its end", () => {
    const queue = new BoundedQueue<number>({ capacity: 2, drop: "oldest" });
    queue.end();
    expect(queue.push(1)).toBe(false);
  });

  test.each([0, -1, 1.5, Number.NaN])("refuses a capacity of %d", (capacity) => {
    expect(() => new BoundedQueue({ capacity, drop: "oldest" })).toThrow(RangeError);
  });
});
