/** Results of measurements → docs/performance.md. What was not measured in this run stays as it was, with its date. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

export interface Row {
  readonly name: string;
  /** Column → value; the unit stands in the column's name. */
  readonly values: Readonly<Record<string, number>>;
}

export interface Result {
  readonly title: string;
  /** What was done, and how to read it. */
  readonly method: string;
  readonly measured: string;
  readonly commit: string;
  readonly rows: readonly Row[];
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

function page(results: Readonly<Record<string, Result>>): string {
  const parts = [
    "# Performance",
    "",
    "Written by `npm run bench`; do not edit. Figures of one run are comparable with each other, hardly with those of another machine.",
    `Machine: ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, everything on loopback.`,
    "",
  ];
  for (const { title, method, measured, commit, rows } of Object.values(results)) {
    const columns = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
    parts.push(`## ${title}`, "", method, "", `Measured ${measured} at commit ${commit}.`, "");
    parts.push(`| | ${columns.join(" | ")} |`, `| --- |${" ---: |".repeat(columns.length)}`);
    for (const { name, values } of rows) {
      parts.push(`| ${name} | ${columns.map((column) => show(values[column])).join(" | ")} |`);
    }
    parts.push("");
  }
  return parts.join("\n");
}

function show(value: number | undefined): string {
  if (value === undefined) return "–";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toPrecision(2).includes("e")
    ? value.toFixed(0)
    : String(Number(value.toPrecision(2)));
}
