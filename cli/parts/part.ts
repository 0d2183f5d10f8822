/**
 * A part is a real server program of somebody else (nats-server, kube-apiserver …) that we run beside us for
 * development and tests. A found one is always new enough and has run once; where none can be had, the answer
 * is a remedy in one sentence, never an exception: whoever asked decides what to do without it.
 */
import { accessSync, constants, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { buildPart } from "./build.ts";
import { unpackDebianPackage } from "./debian.ts";
import { atLeast, versionOf } from "./version.ts";

export interface Part {
  /** The program's file name. */
  readonly name: string;
  /** What its folder in the cache begins with; parts of one Go module share it. */
  readonly family: string;
  /** The version that our own build has. */
  readonly version: string;
  /** Folder with the pinned go.mod and go.sum, from the project's root. */
  readonly module: string;
  readonly goPackage: string;
  readonly ldflags?: string;
  /** For the progress line: `about 4 minutes`. */
  readonly buildTime: string;
  /** The oldest version that will do, when found on this machine. */
  readonly minimum: string;
  readonly versionArguments: readonly string[];
  /** Its first group is the version. */
  readonly versionPattern: RegExp;
  /** Name of Debian's package that holds the same program. */
  readonly debianPackage?: string;
  /** Kubebuilder's envtest folder has it. */
  readonly inKubebuilderAssets?: boolean;
}

export type Env = Readonly<Record<string, string | undefined>>;

export interface ObtainOptions {
  readonly env: Env;
  /** One line of progress, for people. */
  readonly report: (line: string) => void;
  readonly signal: AbortSignal;
  /** `installed`: what the machine has comes first. `pinned`: our own build does, so that tests agree everywhere. */
  readonly prefer?: "installed" | "pinned";
  /** Only look; never build or download. */
  readonly lookOnly?: boolean;
}

export type Obtained =
  | { readonly kind: "found"; readonly path: string; readonly from: string }
  | { readonly kind: "missing"; readonly remedy: string };

type Place = () => Promise<Obtained | undefined>;

export async function obtainPart(part: Part, options: ObtainOptions): Promise<Obtained> {
  const reasons: string[] = [];
  const assets: Place = () => fromAssets(part, options, reasons);
  const installed: Place = () => fromPath(part, options, reasons);
  const cached: Place = async () => fromCache(part, options);
  const made: Place[] =
    options.lookOnly === true
      ? []
      : [() => fromBuild(part, options, reasons), () => fromDebian(part, options, reasons)];
  const places =
    options.prefer === "pinned"
      ? [assets, cached, installed, ...made]
      : [installed, assets, cached, ...made];
  for (const place of places) {
    options.signal.throwIfAborted();
    const obtained = await place();
    if (obtained !== undefined) return obtained;
  }
  return { kind: "missing", remedy: remedy(part, reasons) };
}

export function cacheFolder(part: Part, env: Env): string {
  const cache = env["XDG_CACHE_HOME"] ?? join(env["HOME"] ?? homedir(), ".cache");
  return join(cache, "postern", "parts", `${part.family}-${part.version}`);
}

// === The places, in no order ===

async function fromAssets(
  part: Part,
  options: ObtainOptions,
  reasons: string[],
): Promise<Obtained | undefined> {
  const folder = options.env["KUBEBUILDER_ASSETS"];
  if (part.inKubebuilderAssets !== true || folder === undefined || folder === "") return undefined;
  return ifNewEnough(part, join(folder, part.name), "KUBEBUILDER_ASSETS", options, reasons);
}

async function fromPath(
  part: Part,
  options: ObtainOptions,
  reasons: string[],
): Promise<Obtained | undefined> {
  const folders = (options.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  // /bin often is /usr/bin.
  for (const folder of new Set(folders.map(real))) {
    const found = await ifNewEnough(part, join(folder, part.name), "PATH", options, reasons);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Needs no second look: a program is put there only after it has told its version. */
function fromCache(part: Part, options: ObtainOptions): Obtained | undefined {
  const path = join(cacheFolder(part, options.env), part.name);
  return isExecutable(path) ? { kind: "found", path, from: "cache" } : undefined;
}

async function fromBuild(
  part: Part,
  options: ObtainOptions,
  reasons: string[],
): Promise<Obtained | undefined> {
  const folder = cacheFolder(part, options.env);
  const built = await buildPart(part, folder, options);
  if (built.kind === "built") return { kind: "found", path: built.path, from: "build" };
  reasons.push(built.reason);
  return undefined;
}

async function fromDebian(
  part: Part,
  options: ObtainOptions,
  reasons: string[],
): Promise<Obtained | undefined> {
  if (part.debianPackage === undefined) return undefined;
  const folder = cacheFolder(part, options.env);
  const unpacked = await unpackDebianPackage(part, part.debianPackage, folder, options);
  if (unpacked.kind === "unpacked") {
    return { kind: "found", path: unpacked.path, from: "Debian package" };
  }
  reasons.push(unpacked.reason);
  return undefined;
}

async function ifNewEnough(
  part: Part,
  path: string,
  from: string,
  options: ObtainOptions,
  reasons: string[],
): Promise<Obtained | undefined> {
  if (!isExecutable(path)) return undefined;
  const version = await versionOf(part, path, options);
  if (version === undefined) {
    reasons.push(`${path} does not tell its version`);
    return undefined;
  }
  if (!atLeast(version, part.minimum)) {
    reasons.push(`${path} is version ${version}, and ${part.minimum} or newer is needed`);
    return undefined;
  }
  return { kind: "found", path, from };
}

function real(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder; // not there, and nothing will be found in it
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or not ours to run: the same for us
  }
}

function remedy(part: Part, reasons: readonly string[]): string {
  const wanted = `${part.name} ${part.minimum} or newer`;
  const ways = [
    `put ${wanted} on PATH`,
    ...(part.inKubebuilderAssets === true
      ? ["point KUBEBUILDER_ASSETS at a folder that has it"]
      : []),
    "or install Go 1.26 or newer, so that it can be built",
  ];
  const why = reasons.length === 0 ? "it is not on this machine" : reasons.join("; ");
  return `${ways.join(", ")} (${why})`;
}
