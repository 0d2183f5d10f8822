/**
 * How V8 spends memory in our processes. Left alone, it takes the whole machine for its own: it lets the young
 * generation grow to 48 MB and the old one to a multiple of what lives in it, because collecting later is a
 * little cheaper. A sidecar and a controller share their node. V8 reads both values at each collection, so they
 * work without flags on the command line; what is left with them stands in docs/performance.md.
 */
import { setFlagsFromString } from "node:v8";

/** Costs a busy process some tenth of its CPU, saves it half of its memory. */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

/** For a process that idles: a busy one would pay with CPU for each request. */
export function keepOldGenerationSmall(): void {
  setFlagsFromString("--heap-growing-percent=20");
}

/**
 * For what is compiled from WebAssembly after it. The optimising compiler takes 13 MiB for the one large function
 * of the HTTP parser, and makes reading a head 0.4 µs faster.
 */
export function keepWebAssemblySmall(): void {
  // One implies the other on the command line only.
  setFlagsFromString("--no-wasm-tier-up");
  setFlagsFromString("--no-wasm-dynamic-tiering");
}
