/**
 * YAML files → documents whose every value knows its place. Bounded: file size, number of files, documents and
 * aliases; a key twice is an error, since two readers would see two policies. Nothing throws for bad input.
 */
import { globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Document, LineCounter, isMap, isNode, parseAllDocuments } from "yaml";
import { describe } from "../../runtime/error.ts";
import type { FileProblem } from "./problem.ts";

/** etcd takes at most 1.5 MiB per object; a policy is a few KiB. */
const MAX_FILE_BYTES = 2 * 1024 * 1024;
const MAX_FILES = 500;
const MAX_DOCUMENTS = 1000;
/** Aliases may repeat a node this often: enough for people, too little for a bomb. */
const MAX_ALIASES = 100;

export const STDIN = "-";

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface FileDocument {
  readonly file: string;
  /** As JSON would have it. */
  readonly value: unknown;
  /** Of a field like `spec.operations.rules[1].path`, or of its closest ancestor that is there. */
  readonly positionOf: (path: string) => Position;
}

export interface ReadFiles {
  readonly documents: readonly FileDocument[];
  readonly problems: readonly FileProblem[];
  /** Every file that was read, for watching. */
  readonly files: readonly string[];
}

/** Reads files, folders (their *.yaml, *.yml and *.json, in order of name) and standard input (`-`). */
export function readFiles(paths: readonly string[], readStdin: () => string): ReadFiles {
  const problems: FileProblem[] = [];
  const documents: FileDocument[] = [];
  const files = paths.flatMap((path) => expand(path, problems));
  if (files.length > MAX_FILES) {
    const message = `found ${files.length} files, at most ${MAX_FILES} are read: name the files that hold policies`;
    problems.push({ file: paths.join(" "), severity: "error", code: "file.too-large", message });
    return { documents, problems, files: [] };
  }
  for (const file of files) {
    const text = readText(file, readStdin, problems);
    if (text !== undefined) documents.push(...parse(file, text, problems));
  }
  if (documents.length > MAX_DOCUMENTS) {
    const message = `found ${documents.length} documents, at most ${MAX_DOCUMENTS} are read`;
    problems.push({ file: paths.join(" "), severity: "error", code: "file.too-large", message });
    return { documents: [], problems, files };
  }
  return { documents, problems, files };
}

function expand(path: string, problems: FileProblem[]): string[] {
  if (path === STDIN) return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
    // Hidden names are skipped: editors keep their half-written files there, kubelet its ..data folders.
    const names = globSync("*.{yaml,yml,json}", { cwd: path }).filter(
      (name) => !/^[.#]/.test(name),
    );
    if (names.length === 0) {
      const message = "the folder holds no *.yaml, *.yml or *.json file";
      problems.push({ file: path, severity: "error", code: "file.empty", message });
    }
    return names.sort().map((name) => join(path, name));
  } catch (error) {
    problems.push(unreadable(path, error));
    return [];
  }
}

function readText(
  file: string,
  readStdin: () => string,
  problems: FileProblem[],
): string | undefined {
  try {
    if (file !== STDIN && statSync(file).size > MAX_FILE_BYTES) {
      const message = `the file has more than ${MAX_FILE_BYTES} bytes: a policy does not need that`;
      problems.push({ file, severity: "error", code: "file.too-large", message });
      return undefined;
    }
    const bytes = file === STDIN ? Buffer.from(readStdin(), "utf8") : readFileSync(file);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    problems.push(unreadable(file, error));
    return undefined;
  }
}

function unreadable(file: string, error: unknown): FileProblem {
  const code = (error as NodeJS.ErrnoException).code;
  const message =
    code === "ENOENT"
      ? "no such file or folder"
      : code === "ERR_ENCODING_INVALID_ENCODED_DATA"
        ? "the file is not text in UTF-8"
        : `cannot read it: ${describe(error)}`;
  return { file, severity: "error", code: "file.unreadable", message };
}

function parse(file: string, text: string, problems: FileProblem[]): FileDocument[] {
  const lines = new LineCounter();
  const found: FileDocument[] = [];
  const fail = (message: string, offset: number): void => {
    const { line, col } = lines.linePos(offset);
    problems.push({
      file,
      line,
      column: col,
      severity: "error",
      code: "yaml.invalid",
      message,
    });
  };
  let parsed: readonly Document.Parsed[];
  try {
    const all = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
    parsed = Array.isArray(all) ? all : []; // an empty stream is no document
  } catch (error) {
    // Very deep nesting ends in a RangeError of the parser's stack.
    fail(`not YAML that can be read: ${describe(error)}`, 0);
    return found;
  }
  for (const document of parsed) {
    // A warning is a tag or directive that nobody here understands: what it would mean is not guessed.
    const first = document.errors[0] ?? document.warnings[0];
    if (first !== undefined) {
      fail(yamlSentence(first.code, first.message, text.slice(first.pos[0])), first.pos[0]);
      continue;
    }
    try {
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (value === null || value === undefined) continue; // only comments between two ---
      found.push({ file, value, positionOf: (path) => positionOf(document, lines, path) });
    } catch (error) {
      fail(`not YAML that can be read: ${describe(error)}`, document.range[0]);
    }
  }
  return found;
}

function yamlSentence(code: string, message: string, rest: string): string {
  if (code === "DUPLICATE_KEY") {
    const key = /^["']?([\w./-]{1,80})/.exec(rest)?.[1] ?? "";
    return `the field "${key}" stands here twice: remove one of them`;
  }
  if (code === "TAB_AS_INDENT") return "not YAML: indented with a tab, use spaces";
  return `not YAML: ${message.split("\n")[0] ?? message}`;
}

function positionOf(document: Document.Parsed, lines: LineCounter, path: string): Position {
  const keys = keysOf(path);
  let offset = document.contents?.range?.[0] ?? document.range[0];
  let node: unknown = document.contents;
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isNode(item.key) && String(item.key) === String(key));
      if (pair === undefined) break;
      if (isNode(pair.key) && pair.key.range) offset = pair.key.range[0];
      node = pair.value;
      continue;
    }
    const items: unknown = isNode(node) && "items" in node ? node.items : undefined;
    const item: unknown = Array.isArray(items) ? items[Number(key)] : undefined;
    if (!isNode(item)) break;
    if (item.range) offset = item.range[0];
    node = item;
  }
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

/** `spec.operations.rules[1].path` → spec, operations, rules, 1, path. */
function keysOf(path: string): (string | number)[] {
  return [...path.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map((match) =>
    match[1] !== undefined ? Number(match[1]) : (match[2] ?? ""),
  );
}
