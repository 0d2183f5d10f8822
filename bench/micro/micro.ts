/** One function of the hot path after the other. To be read as shares of a request's cost, not as its cost. */
import type { Row } from "../report.ts";
import { timeOf } from "./measure.ts";
import { signatureRows } from "./signatures.ts";
import { stages } from "./stages.ts";

export async function micro(
  say: (line: string) => void,
): Promise<readonly { readonly title: string; readonly rows: readonly Row[] }[]> {
  const rows: Row[] = [];
  for (const { name, run } of await stages()) {
    const micros = timeOf(run);
    say(`${name}: ${micros.toFixed(3)} µs`);
    rows.push({ name, values: { µs: micros } });
  }
  say("signatures");
  return [
    { title: "Stages", rows },
    { title: "Signatures, one after the other", rows: await signatureRows() },
  ];
}
