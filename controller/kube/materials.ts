/**
 * The Secrets and ConfigMaps that policies refer to: one watch for each, by name, for as long as a policy refers
 * to it. The controller never reads a Secret that no policy names.
 */
import { keySourceId } from "../../policy/key-sources.ts";
import type { KeySource } from "../../policy/resources.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import type { Material } from "../cluster.ts";
import type { KubeClient, KubeObject } from "./client.ts";
import { createReflector } from "./reflector.ts";
import type { Reflector } from "./reflector.ts";

/** Each is one connection to the API server. */
const MAX_WATCHED = 256;

export type MaterialSource = Extract<KeySource, { readonly kind: "secret" | "configMap" }>;

export interface Materials {
  /** From now on these are watched, and no others. */
  follow(sources: readonly KeySource[]): void;
  /** By `keySourceId()`; what has not been read yet is missing. */
  current(): Map<string, Material>;
  /** Whether everything that is followed has been read, or cannot be. */
  readonly synced: boolean;
  readonly reflectors: readonly Reflector<string>[];
  /** Resolves when every watch has ended. */
  close(): Promise<void>;
}

interface Watched {
  readonly source: MaterialSource;
  readonly reflector: Reflector<string> | undefined;
  readonly stop: AbortController;
}

export function createMaterials(options: {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}): Materials {
  const watched = new Map<string, Watched>();
  const running = new Set<Promise<void>>();

  function start(source: MaterialSource): Watched {
    const stop = new AbortController();
    if (watched.size >= MAX_WATCHED) return { source, reflector: undefined, stop };
    const reflector = createReflector<string>({
      ...options,
      name: label(source),
      path: `/api/v1/namespaces/${source.namespace}/${source.kind === "secret" ? "secrets" : "configmaps"}`,
      query: { fieldSelector: `metadata.name=${source.name}` },
      transform: (object) => textOf(source, object),
      same: (before, after) => before === after,
    });
    const run = reflector.run(stop.signal).finally(() => running.delete(run));
    running.add(run);
    return { source, reflector, stop };
  }

  return {
    follow(sources) {
      const wanted = new Map<string, MaterialSource>();
      for (const source of sources) {
        if (source.kind === "secret" || source.kind === "configMap") {
          wanted.set(keySourceId(source), source);
        }
      }
      for (const [id, { stop }] of watched) {
        if (wanted.has(id)) continue;
        stop.abort();
        watched.delete(id);
      }
      for (const [id, source] of wanted) {
        if (!watched.has(id)) watched.set(id, start(source));
      }
    },
    current() {
      const found = new Map<string, Material>();
      for (const [id, one] of watched) {
        const material = materialOf(one);
        if (material !== undefined) found.set(id, material);
      }
      return found;
    },
    get synced() {
      return [...watched.values()].every(
        ({ reflector }) =>
          reflector === undefined || reflector.synced || reflector.problem !== undefined,
      );
    },
    get reflectors() {
      return [...watched.values()].flatMap(({ reflector }) => reflector ?? []);
    },
    async close() {
      for (const { stop } of watched.values()) stop.abort();
      await Promise.all(running);
    },
  };
}

function materialOf({ source, reflector }: Watched): Material | undefined {
  if (reflector === undefined) {
    return unavailable(
      `${label(source)}: more than ${MAX_WATCHED} Secrets and ConfigMaps are referred to, this one is not read`,
    );
  }
  const text = reflector.items.get(`${source.namespace}/${source.name}`);
  if (text !== undefined) return { kind: "text", text };
  if (reflector.synced) {
    return unavailable(`${label(source)} does not exist or has no key "${source.key}"`);
  }
  return reflector.problem === undefined
    ? undefined
    : unavailable(`${label(source)} cannot be read: ${reflector.problem}`);
}

function textOf(source: MaterialSource, object: KubeObject): string | undefined {
  const data = object["data"] as Readonly<Record<string, string>> | undefined;
  const value = data?.[source.key];
  if (value === undefined) return undefined;
  return source.kind === "secret" ? Buffer.from(value, "base64").toString("utf8") : value;
}

function label(source: MaterialSource): string {
  const kind = source.kind === "secret" ? "Secret" : "ConfigMap";
  return `${kind} ${source.namespace}/${source.name}`;
}

function unavailable(reason: string): Material {
  return { kind: "unavailable", reason };
}
