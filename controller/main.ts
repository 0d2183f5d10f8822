/** The controller's process: settings → open → wait for a signal → close. No logic of its own. */
import { systemClock } from "../runtime/clock.ts";
import { describe, PosternError } from "../runtime/error.ts";
import { runUntilSignal } from "../runtime/lifecycle.ts";
import { createLineWriter } from "../runtime/line-writer.ts";
import { createLog } from "../runtime/log.ts";
import { keepOldGenerationSmall, keepYoungGenerationSmall } from "../runtime/memory.ts";
import { readConfig } from "./config.ts";
import { openController } from "./open.ts";

/** For a reader of the log that is slow. */
const FLUSH_MS = 1_000;

const output = createLineWriter({ stream: process.stdout, clock: systemClock });
// Whatever ends the process, an exception included: the last words are the ones that matter.
process.on("exit", () => output.flushNow());

async function main(): Promise<number> {
  keepYoungGenerationSmall();
  keepOldGenerationSmall();
  const config = readConfig(process.env);
  const log = createLog({ level: config.logLevel, clock: systemClock, write: output.write });
  output.onDropped((lines) => log.warn("Lines of the log were dropped", { lines }));
  const ended = await runUntilSignal(
    { signals: process, clock: systemClock, log, drainTimeoutMs: config.drainTimeoutMs },
    (signal) => openController(config, { clock: systemClock, log }, signal),
  );
  await output.flush(AbortSignal.timeout(FLUSH_MS));
  return ended.inTime ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (cause: unknown) => {
    // Asked to stop before everything was open: that is no failure.
    if (cause instanceof PosternError && cause.code === "aborted") process.exit(0);
    process.stderr.write(`${describe(cause)}\n`);
    process.exit(1);
  },
);
