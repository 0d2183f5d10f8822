/**
 * Why: `npm test` needs real servers, and whether each can be had must be known before the tests start.
 * Progress goes to standard error; standard output is one JSON object, for the runner and the tests.
 */
import { type Obtained, obtainPart } from "../cli/parts/part.ts";
import { PARTS } from "../test/support/parts.ts";

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
process.once("SIGTERM", () => stop.abort());

const table: Record<string, Obtained> = {};
for (const [name, part] of Object.entries(PARTS)) {
  table[name] = await obtainPart(part, {
    env: process.env,
    report: (line) => process.stderr.write(`${line}\n`),
    signal: stop.signal,
    prefer: "pinned",
  });
}
process.stdout.write(JSON.stringify(table));
