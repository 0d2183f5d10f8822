/** Versions as servers print them: numbers with dots; what stands behind them (`-dispatcher`, `+build`) does not count. */
import type { ObtainOptions, Part } from "./part.ts";
import { run } from "./run.ts";

/** Runs the program; undefined when it does not run, or does not tell. */
export async function versionOf(
  part: Part,
  path: string,
  options: Pick<ObtainOptions, "env" | "signal">,
): Promise<string | undefined> {
  const result = await run(path, part.versionArguments, { ...options, timeoutMs: 20_000 });
  return part.versionPattern.exec(result.output)?.[1];
}

export function atLeast(version: string, minimum: string): boolean {
  const have = numbers(version);
  const need = numbers(minimum);
  for (let index = 0; index < need.length; index += 1) {
    const difference = (have[index] ?? 0) - (need[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function numbers(version: string): number[] {
  return (/^v?(\d+(?:\.\d+)*)/.exec(version)?.[1] ?? "0").split(".").map(Number);
}
