/**
 * Times one function that takes microseconds or less: warm first, then batches that are long enough for the
 * clock. The median of the batches is told, so that what else the machine does moves it little.
 */
import { quantile } from "../support/quantile.ts";

export interface Micro {
  readonly name: string;
  /** Its result is used, so that the compiler leaves nothing out. */
  readonly run: () => unknown;
}

const WARM_MS = 150;
const BATCHES = 15;
const BATCH_MS = 20;

/** Microseconds per call. */
export function timeOf(run: () => unknown): number {
  let sink: unknown;
  let calls = 0;
  const warmUntil = performance.now() + WARM_MS;
  while (performance.now() < warmUntil) {
    sink = run();
    calls += 1;
  }
  const perBatch = Math.max(1, Math.round((calls / WARM_MS) * BATCH_MS));
  const times: number[] = [];
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const began = performance.now();
    for (let call = 0; call < perBatch; call += 1) sink = run();
    times.push(((performance.now() - began) / perBatch) * 1000);
  }
  if (sink === KEPT) throw new Error("Unreachable, but the compiler does not know");
  return quantile(times, 0.5);
}

const KEPT = Symbol("kept");

/** Microseconds per call of what waits, one after the other, and what the process spends on it in all its threads. */
export async function costOfWaiting(
  run: () => Promise<unknown>,
): Promise<{ readonly micros: number; readonly cpuMicros: number }> {
  for (let call = 0; call < 300; call += 1) await run();
  const times: number[] = [];
  const costs: number[] = [];
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const began = performance.now();
    const cpu = process.cpuUsage();
    for (let call = 0; call < 100; call += 1) await run();
    const { user, system } = process.cpuUsage(cpu);
    times.push(((performance.now() - began) / 100) * 1000);
    costs.push((user + system) / 100);
  }
  return { micros: quantile(times, 0.5), cpuMicros: quantile(costs, 0.5) };
}
