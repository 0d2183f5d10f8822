/** What the design asks for, beside what was measured. A target that could not be measured says so. */
import type { Table } from "../report.ts";

export interface Target {
  readonly name: string;
  readonly atMost: number;
  /** NaN or undefined: not measured in this run. */
  readonly measured: number | undefined;
  /** What the same measurement gave without us: where that is above the target, it tells nothing about us. */
  readonly floor?: number;
}

export function targetTable(targets: readonly Target[], note: string): Table {
  return {
    title: "Targets",
    note,
    rows: targets.map((target) => ({
      name: target.name,
      values: {
        "at most": target.atMost,
        measured: target.measured ?? Number.NaN,
        met: verdict(target),
      },
    })),
  };
}

function verdict({ atMost, measured, floor }: Target): string {
  if (measured === undefined || Number.isNaN(measured)) return "not measured";
  if (floor !== undefined && floor > atMost) {
    return `cannot tell: ${floor.toFixed(1)} without us, the machine is busy`;
  }
  return measured <= atMost ? "yes" : "no";
}
