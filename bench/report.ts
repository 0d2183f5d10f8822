/** Results of measurements → docs/performance.md. What was not measured in this run stays as it was, with its date. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

export interface Row {
  readonly name: string;
  /** Column → value; the unit stands in the column's name. */
  readonly values: Readonly<Record<string, number | string>>;
}

export interface Table {
  readonly title?: string;
  /** How to read it. */
  readonly note?: string;
  readonly rows: readonly Row[];
}

export interface Result {
  readonly title: string;
  /** What was done, and how to read it. */
  readonly method: string;
  readonly measured: string;
  readonly commit: string;
  readonly tables: readonly Table[];
}

const ROOT = join(import.meta.dirname, "..");
const RESULTS = join(ROOT, "bench", "results.json");
const PAGE = join(ROOT, "docs", "performance.md");

export function record(results: Readonly<Record<string, Result>>): void {
  const known = existsSync(RESULTS)
    ? (JSON.parse(readFileSync(RESULTS, "utf8")) as Record<string, Result>)
    : {};
  const all = { ...known, ...results };
  writeFileSync(RESULTS, `${JSON.stringify(all, null, 2)}\n`);
  writeFileSync(PAGE, page(all));
}

/** As the page shows it; also for the terminal. */
export function tableLines({ title, note, rows }: Table): readonly string[] {
  const columns = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  return [
    ...(title === undefined ? [] : [`### ${title}`, ""]),
    ...(note === undefined ? [] : [note, ""]),
    `| | ${columns.join(" | ")} |`,
    `| --- |${" ---: |".repeat(columns.length)}`,
    ...rows.map(
      ({ name, values }) =>
        `| ${name} | ${columns.map((column) => show(values[column])).join(" | ")} |`,
    ),
    "",
  ];
}

function page(results: Readonly<Record<string, Result>>): string {
  const parts = [
    "# Performance",
    "",
    "Written by `npm run bench`; do not edit. Figures of one run are comparable with each other, hardly with those of another machine.",
    `Machine: ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, everything on loopback.`,
    "[How to run the benches](guides/run-the-benches.md).",
    "",
  ];
  for (const { title, method, measured, commit, tables } of Object.values(results)) {
    parts.push(`## ${title}`, "", method, "", `Measured ${measured} at commit ${commit}.`, "");
    for (const table of tables) parts.push(...tableLines(table));
  }
  return parts.join("\n");
}

function show(value: number | string | undefined): string {
  if (value === undefined) return "–";
  if (typeof value === "string") return value;
  if (Number.isNaN(value)) return "–";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toPrecision(2).includes("e")
    ? value.toFixed(0)
    : String(Number(value.toPrecision(2)));
}
