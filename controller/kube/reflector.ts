/**
 * Keeps a local copy of one list of objects: list in pages, then watch with bookmarks, for ever. Whatever
 * breaks (connection, 410 Gone, the server, an object that cannot be read) ends neither the loop nor the
 * process: it backs off and goes on, and what was known stays known meanwhile. Lists everything anew now and
 * then, in case a watch lied. Of each object only what `transform` returns is kept.
 */
import { backoffDelayMs } from "../../runtime/backoff.ts";
import { describe } from "../../runtime/error.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import { ClusterError, hasStatus } from "./client.ts";
import type { KubeClient, KubeObject, KubePage, Query, WatchEvent } from "./client.ts";

const PAGE_SIZE = 500;
/** The server ends each watch after about this long; a watch that outlives it has gone silent. */
const WATCH_SECONDS = 300;
const SILENCE_MARGIN_MS = 30_000;
const RESYNC_MS = 10 * 60_000;
const BACKOFF = { firstMs: 250, maxMs: 10_000 };
/** After so many failed watches in a row, the place where we were is not worth keeping. */
const WATCHES_BEFORE_RELIST = 3;
/** A watch that ends sooner than this did not work, whatever it says. */
const SHORT_WATCH_MS = 1_000;

export interface ReflectorOptions<T> {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** For the log: `pods`. */
  readonly name: string;
  readonly path: string;
  readonly query?: Query;
  readonly accept?: string;
  /** `before` is what was kept of it. Undefined: the object does not count (any more). */
  readonly transform: (object: KubeObject, before: T | undefined) => T | undefined;
  /** Whether nothing changed that anybody asks about: then `onChange` stays silent. */
  readonly same?: (before: T, after: T) => boolean;
  readonly onChange: () => void;
  /** What a 404 means to the operator, where the resource itself may not exist yet. */
  readonly missing?: string;
  readonly watchSeconds?: number;
}

export interface Reflector<T> {
  readonly name: string;
  /** By `namespace/name`, or `name`. Empty until the first list; afterwards never emptied by a failure. */
  readonly items: ReadonlyMap<string, T>;
  readonly synced: boolean;
  /** When the API server was last heard of: to tell a quiet watch from a dead one. */
  readonly heardAtMs: number;
  /** Why it does not follow at present. */
  readonly problem: string | undefined;
  /** Runs until the signal; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export function createReflector<T>(options: ReflectorOptions<T>): Reflector<T> {
  const { client, clock, log, name, path } = options;
  const watchSeconds = options.watchSeconds ?? WATCH_SECONDS;
  let items = new Map<string, T>();
  let synced = false;
  let heardAtMs = clock.now();
  let problem: string | undefined;
  /** Where to go on watching; undefined: list first. */
  let position: string | undefined;
  let listedAtMs = 0;
  let failures = 0;

  function keep(target: Map<string, T>, object: KubeObject): void {
    const key = keyOf(object);
    try {
      const kept = options.transform(object, items.get(key));
      if (kept === undefined) target.delete(key);
      else target.set(key, kept);
    } catch (error) {
      log.error("Cannot read an object of the API server", {
        list: name,
        object: key,
        error: describe(error),
      });
      target.delete(key);
    }
  }

  async function list(signal: AbortSignal): Promise<void> {
    const found = new Map<string, T>();
    let next: string | undefined;
    let version: string | undefined;
    do {
      const page: KubePage = await client.send<KubePage>({
        method: "GET",
        path,
        query: { ...options.query, limit: PAGE_SIZE, continue: next },
        signal,
        ...(options.accept === undefined ? {} : { accept: listOf(options.accept) }),
      });
      for (const object of page.items ?? []) keep(found, object);
      next = page.metadata.continue === "" ? undefined : page.metadata.continue;
      version = page.metadata.resourceVersion;
    } while (next !== undefined);
    items = found;
    position = version;
    listedAtMs = clock.now();
    synced = true;
    heard();
    options.onChange();
  }

  async function watch(signal: AbortSignal): Promise<void> {
    const silence = AbortSignal.timeout(watchSeconds * 1_000 + SILENCE_MARGIN_MS);
    // Jitter, so that not all watches of all controllers return at the same moment.
    const seconds = Math.ceil(watchSeconds * (0.9 + Math.random() * 0.1));
    const startedAtMs = clock.now();
    await client.watch(
      {
        method: "GET",
        path,
        query: {
          ...options.query,
          allowWatchBookmarks: true,
          resourceVersion: position,
          timeoutSeconds: seconds,
        },
        signal: AbortSignal.any([signal, silence]),
        ...(options.accept === undefined ? {} : { accept: options.accept }),
      },
      onEvent,
      opened,
    );
    if (clock.now() - startedAtMs < Math.min(SHORT_WATCH_MS, watchSeconds * 500)) {
      throw new ClusterError("cluster.unavailable", `WATCH ${path}: ended at once`);
    }
    heard();
  }

  /** The server follows us again; whether the watch works shows when it lives on. */
  function opened(): void {
    heardAtMs = clock.now();
    if (problem === undefined) return;
    log.info("Follows the API server again", { list: name });
    problem = undefined;
    options.onChange();
  }

  function onEvent(event: WatchEvent): void {
    if (event.type === "ERROR") {
      const status = event.object.code;
      throw new ClusterError(
        "cluster.unavailable",
        `WATCH ${path}: ${event.object.message ?? "the server reported an error"}`,
        status === undefined ? {} : { status },
      );
    }
    heard();
    position = event.object.metadata.resourceVersion ?? position;
    if (event.type === "BOOKMARK") return;
    const key = keyOf(event.object);
    const before = items.get(key);
    if (event.type === "DELETED") items.delete(key);
    else keep(items, event.object);
    const after = items.get(key);
    const unchanged =
      before === undefined || after === undefined
        ? before === after
        : (options.same?.(before, after) ?? false);
    if (!unchanged) options.onChange();
  }

  function heard(): void {
    opened();
    failures = 0;
  }

  async function failed(error: unknown, signal: AbortSignal): Promise<void> {
    failures += 1;
    if (hasStatus(error, 410) || failures >= WATCHES_BEFORE_RELIST) position = undefined;
    // 410 is how the server says "list again": no news, and no reason to wait.
    if (hasStatus(error, 410) && failures === 1) return;
    const missing = options.missing !== undefined && hasStatus(error, 404);
    const sentence = missing ? options.missing : describe(error);
    // Said once per problem, not once per attempt.
    if (sentence !== problem) {
      log.warn("Cannot follow the API server", { list: name, problem: sentence });
      problem = sentence;
      options.onChange();
    }
    await clock.sleep(backoffDelayMs(failures - 1, BACKOFF), signal);
  }

  return {
    name,
    get items() {
      return items;
    },
    get synced() {
      return synced;
    },
    get heardAtMs() {
      return heardAtMs;
    },
    get problem() {
      return problem;
    },
    async run(signal) {
      while (!signal.aborted) {
        try {
          if (position === undefined || clock.now() - listedAtMs >= RESYNC_MS) await list(signal);
          await watch(signal);
        } catch (error) {
          if (signal.aborted) return;
          await failed(error, signal).catch(() => undefined);
        }
      }
    },
  };
}

function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** `…;as=PartialObjectMetadata` for one object is `…;as=PartialObjectMetadataList` for a list. */
function listOf(accept: string): string {
  return accept.replace("as=PartialObjectMetadata;", "as=PartialObjectMetadataList;");
}
