/** The sidecar's process: settings → open → serve → wait for a signal → drain. No logic of its own. */
import { connectNats } from "../runtime/bus/nats.ts";
import { systemClock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import { runUntilSignal } from "../runtime/lifecycle.ts";
import { createLineWriter } from "../runtime/line-writer.ts";
import { createLog } from "../runtime/log.ts";
import { keepYoungGenerationSmall } from "../runtime/memory.ts";
import { watchTrustedKeys } from "./bundle/trusted-keys.ts";
import { readConfig } from "./config.ts";
import { startSidecar } from "./sidecar.ts";
import { VERSION } from "./version.ts";

/** For the rest of the closing, after the drain's own deadline. */
const CLOSE_MS = 2_000;
/** For a reader of the log that is slow. */
const FLUSH_MS = 1_000;

const output = createLineWriter({ stream: process.stdout, clock: systemClock });
// Whatever ends the process, an exception included: the last words are the ones that matter.
process.on("exit", () => output.flushNow());

async function main(): Promise<number> {
  keepYoungGenerationSmall();
  const config = readConfig(process.env);
  const log = createLog({ level: config.logLevel, clock: systemClock, write: output.write });
  output.onDropped((lines) => log.warn("Lines of the log were dropped", { lines }));
  const ended = await runUntilSignal(
    {
      signals: process,
      clock: systemClock,
      log,
      drainTimeoutMs: config.drainTimeoutMs + CLOSE_MS,
    },
    async () => {
      await using opening = new AsyncDisposableStack();
      const keys = opening.use(
        await watchTrustedKeys(config.bundleKeysFile, { clock: systemClock, log }),
      );
      const bus = await connectNats({
        servers: config.natsServers,
        name: `postern-sidecar ${config.namespace}/${config.pod}`,
        ...(config.natsCredentials === undefined ? {} : { credentials: config.natsCredentials }),
        ...(config.natsTls === undefined ? {} : { tls: config.natsTls }),
        clock: systemClock,
        log,
        // Not the process's signal: the last report goes out during the closing.
        signal: new AbortController().signal,
        ensureBuckets: false,
      });
      opening.use(bus);
      const { stateDir, ...rest } = config;
      const feed = { kind: "bus", bus, keys, stateDir } as const;
      const droppedLines = (): number => output.dropped;
      const parts = { feed, clock: systemClock, log, version: VERSION, droppedLines };
      opening.use(await startSidecar({ ...rest, ...parts }));
      return opening.move();
    },
  );
  await output.flush(AbortSignal.timeout(FLUSH_MS));
  return ended.inTime ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (cause: unknown) => {
    process.stderr.write(`${describe(cause)}\n`);
    process.exit(1);
  },
);
