/**
 * Policy files as a sidecar's source of bundles: read, keys fetched, compiled, sealed. A file that is wrong is
 * an arrival that is refused, so what is in force stays; one without a change is the very bundle of before.
 */
import { type KeySets, createKeySets } from "../../controller/keys/key-sets.ts";
import type { Bundle } from "../../policy/bundle.ts";
import { digestOf, sealBundle } from "../../policy/encode.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import { type FileSource, fileSource } from "../../sidecar/bundle/file-source.ts";
import type { Arrival } from "../../sidecar/bundle/source.ts";
import { STDIN } from "../files/documents.ts";
import { type Loaded, compileSources, readSources } from "../files/load.ts";
import { hasErrors, problemText } from "../files/problem.ts";

/** How long a start or a reload waits for key servers; keys that come later come in by themselves. */
const KEYS_WITHIN_MS = 3_000;
/** A refusal shows on the admin port: the first sentences say what to do. */
const SHOWN_PROBLEMS = 3;

export interface PolicyFeedOptions {
  readonly paths: readonly string[];
  readonly readStdin: () => string;
  readonly clock: Clock;
  readonly log: Log;
  /** After each reading; not when nothing changed. */
  readonly onLoaded: (loaded: Loaded) => void;
}

export interface PolicyFeed extends AsyncDisposable {
  readonly source: FileSource;
  /** Reads once, before anything serves. */
  first(signal: AbortSignal): Promise<Loaded>;
}

export function openPolicyFeed(options: PolicyFeedOptions): PolicyFeed {
  const { clock, log } = options;
  const closing = new AbortController();
  const keySets = createKeySets({ clock, log });
  let stdin: string | undefined;
  let bundle: Bundle | undefined;
  let told = "";

  const read = async (signal: AbortSignal): Promise<Loaded> => {
    // Standard input gives its text only once.
    const readStdin = (): string => (stdin ??= options.readStdin());
    const sources = readSources({ paths: options.paths, readStdin });
    const before = compileSources(sources);
    // The keys of what is in force stay followed while its successor is broken.
    if (hasErrors(before.problems)) return before;
    keySets.want(sources.remote, new Map());
    await keySets.settled(KEYS_WITHIN_MS, signal);
    return compileSources(sources, keySets.resolve());
  };

  const tell = (loaded: Loaded): void => {
    const text = JSON.stringify([loaded.problems, digestOf(loaded.content)]);
    if (text === told) return;
    told = text;
    options.onLoaded(loaded);
  };

  const load = async (): Promise<Arrival> => {
    const loaded = await read(closing.signal);
    tell(loaded);
    return hasErrors(loaded.problems) ? refused(loaded) : sealed(loaded);
  };

  const sealed = ({ content }: Loaded): Arrival => {
    if (bundle?.digest !== digestOf(content)) {
      const issuedAtMs = clock.now();
      const revision = Math.max((bundle?.revision ?? 0) + 1, issuedAtMs);
      bundle = sealBundle(content, { revision, issuedAtMs });
    }
    return { kind: "bundle", bundle };
  };

  const source = fileSource({
    paths: options.paths.filter((path) => path !== STDIN),
    load,
    clock,
    log,
  });
  const following = reloadOnNewKeys(keySets, source, closing.signal);
  return {
    source,
    first: async (signal) => {
      const loaded = await read(signal);
      tell(loaded);
      return loaded;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.all([following, keySets.close()]);
    },
  };
}

async function reloadOnNewKeys(
  keySets: KeySets,
  source: FileSource,
  signal: AbortSignal,
): Promise<void> {
  for await (const _ of keySets.changes(signal)) source.reload();
}

function refused({ problems }: Loaded): Arrival {
  const errors = problems.filter(({ severity }) => severity === "error");
  const detail = errors.slice(0, SHOWN_PROBLEMS).map(problemText).join("; ");
  return { kind: "refused", code: "bundle.malformed", detail };
}
