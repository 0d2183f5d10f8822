/**
 * How V8 spends memory in the controller. Left alone, it takes the whole machine for its own: it lets the young
 * generation grow to 48 MB and the old one to a multiple of what lives in it, because collecting later is a
 * little cheaper. A controller idles, and shares its node. V8 reads both values at each collection, so they
 * work without flags on the command line; measured in docs/performance.md.
 */
import { setFlagsFromString } from "node:v8";

export function preferSmallHeap(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--heap-growing-percent=20");
}
