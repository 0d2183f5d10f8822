/** Tables in the code ⇔ pages for people: nothing that can be met is undocumented, and nothing is documented that cannot. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { DENIALS } from "../policy/denials.ts";
import { PROBLEMS } from "../policy/problems.ts";

const ROOT = join(import.meta.dirname, "..");

function headings(page: string): string[] {
  const text = readFileSync(join(ROOT, "docs", "reference", page), "utf8");
  return [...text.matchAll(/^## (.+)$/gm)].map(([, heading = ""]) => heading);
}

describe("catalogues", () => {
  test.each([
    ["denials.md", Object.keys(DENIALS)],
    ["problems.md", Object.keys(PROBLEMS)],
  ])("%s has exactly the rows of its table", (page, rows) => {
    expect(headings(page).sort()).toEqual(rows.toSorted());
  });

  test("what cannot be decided is never answered as a plain no", () => {
    for (const [code, row] of Object.entries(DENIALS)) {
      if (row.certainty === "could-not-tell") {
        expect({ code, status: row.status }).toEqual({ code, status: expect.any(Number) });
        expect(row.status).toBeGreaterThanOrEqual(500);
      }
    }
  });

  test("generated files are current", () => {
    const output = execFileSync(process.execPath, ["scripts/generate.ts", "--check"], {
      cwd: ROOT,
      encoding: "utf8",
    });
    expect(output).toBe("");
  });
});
