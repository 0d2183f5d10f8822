/** `postern dev`: the whole product on this machine, until Ctrl-C; or, with `--demo`, its story, once. */
import { once } from "node:events";
import { systemClock } from "../../runtime/clock.ts";
import { PosternError } from "../../runtime/error.ts";
import { createLog } from "../../runtime/log.ts";
import { playDemo } from "../dev/demo.ts";
import type { BusChoice } from "../dev/dev-bus.ts";
import { type DevEnvironment, type DevOptions, openDev } from "../dev/environment.ts";
import type { FolderLoaded } from "../dev/file-cluster.ts";
import { createScreen } from "../dev/screen.ts";
import { DONE, type Io, PROBLEM, UsageError } from "../io.ts";

export interface DevCommandOptions {
  readonly policy?: string;
  readonly sidecars: number;
  readonly demo?: boolean;
  readonly nats?: string;
  readonly inProcess?: boolean;
}

/** Keys come over the network of this machine; a policy that is wrong never becomes ready. */
const READY_WITHIN_MS = 20_000;
const LOADED_WITHIN_MS = 5_000;

export async function devCommand(options: DevCommandOptions, io: Io): Promise<number> {
  return options.demo === true ? demo(options, io) : dev(options, io);
}

async function dev(options: DevCommandOptions, io: Io): Promise<number> {
  const screen = createScreen(io.out, systemClock, process.cwd());
  await using environment = await openDev({
    ...common(options, io),
    ...(options.policy !== undefined && { policyFolder: options.policy }),
    onLoaded: (loaded) => screen.onLoaded(loaded),
    onStatus: (policy, status) => screen.onStatus(policy, status),
    onEvent: (event) => screen.onEvent(event),
  });
  screen.welcome(environment);
  if (!io.signal.aborted) await once(io.signal, "abort");
  io.out("\nStopping …\n");
  return DONE;
}

async function demo(options: DevCommandOptions, io: Io): Promise<number> {
  if (options.policy !== undefined) {
    throw new UsageError("--demo plays with a policy of its own: leave out --policy");
  }
  const waiting = new Set<(loaded: FolderLoaded) => void>();
  await using environment = await openDev({
    ...common(options, io),
    onLoaded: (loaded) => {
      for (const tell of waiting) tell(loaded);
    },
    onStatus: () => undefined,
    onEvent: () => undefined,
  });
  await ready(environment, io.signal);
  const { policyFile } = environment;
  if (policyFile === undefined) throw new TypeError("The demo has no policy file");
  const nextLoaded = (signal: AbortSignal): Promise<FolderLoaded> =>
    new Promise((resolve, reject) => {
      const within = AbortSignal.any([signal, AbortSignal.timeout(LOADED_WITHIN_MS)]);
      const late = (): void => {
        waiting.delete(tell);
        reject(new Error("the change of the file was not noticed"));
      };
      const tell = (loaded: FolderLoaded): void => {
        waiting.delete(tell);
        within.removeEventListener("abort", late);
        resolve(loaded);
      };
      waiting.add(tell);
      within.addEventListener("abort", late, { once: true });
    });
  const isGood = await playDemo({
    dev: environment,
    policyFile,
    nextLoaded,
    clock: systemClock,
    write: io.out,
    signal: io.signal,
  });
  if (environment.bus.process === undefined) {
    io.out(`Not shown: what happens when NATS dies. The bus is ${environment.bus.sentence}\n`);
  }
  return isGood ? DONE : PROBLEM;
}

type Common = Pick<DevOptions, "sidecars" | "bus" | "clock" | "log" | "signal">;

function common(options: DevCommandOptions, io: Io): Common {
  return {
    sidecars: options.sidecars,
    bus: busChoice(options, io),
    clock: systemClock,
    // The screen tells what matters; a lost bus and the like stand there by their effect.
    log: createLog({ level: "error", clock: systemClock, write: io.err }),
    signal: io.signal,
  };
}

function busChoice(options: DevCommandOptions, io: Io): BusChoice {
  if (options.inProcess === true) return { kind: "in-process" };
  if (options.nats !== undefined) return { kind: "url", url: options.nats };
  return { kind: "start", env: io.env, report: (line) => io.err(`postern: ${line}\n`) };
}

async function ready({ sidecars }: DevEnvironment, signal: AbortSignal): Promise<void> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(READY_WITHIN_MS)]);
  try {
    await Promise.all(sidecars.map((sidecar) => sidecar.whenReady(within)));
  } catch (cause) {
    signal.throwIfAborted();
    throw new PosternError("bus.unavailable", "Cannot start: no policy reached the sidecars", {
      cause,
    });
  }
}
