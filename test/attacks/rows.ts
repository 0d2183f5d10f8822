/** The attack tables, read and filled in. */
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import type { AttackTokens } from "./tokens.ts";

export interface Row {
  readonly title: string;
  readonly why: string;
  /** Raw bytes, one character each; `{{token:name}}` and `{{repeat:text:times}}` are filled in. */
  readonly send: string;
  readonly expect: {
    /** 0: the connection ends without a word. */
    readonly status: number;
    /** Of a refusal. */
    readonly code?: string;
    /** `unfinished`: it never got a whole request, so there was nothing that it could act on. */
    readonly upstream: "untouched" | "served" | "unfinished";
    readonly connection: "closed" | "open";
    /** The request line that the application got, and nothing else in its place. */
    readonly line?: string;
    /** The body's bytes that the application got, chunks included. */
    readonly body?: string;
    /** Header lines that the application got, or did not get, without regard to case. */
    readonly has?: readonly string[];
    readonly lacks?: readonly string[];
  };
}

export interface Family {
  readonly family: string;
  readonly rows: readonly Row[];
}

export function attackFamilies(): readonly Family[] {
  return globSync("*.yaml", { cwd: import.meta.dirname })
    .sort()
    .map((file) => ({
      family: basename(file, ".yaml"),
      rows: parse(readFileSync(join(import.meta.dirname, file), "utf8")) as readonly Row[],
    }));
}

/** The bytes, one character each. */
export function fill(send: string, tokens: AttackTokens): string {
  return send.replace(/\{\{(token|repeat):([^{}]+)\}\}/g, (_match, kind: string, rest: string) => {
    if (kind === "token") return tokens.get(rest);
    const colon = rest.lastIndexOf(":");
    return rest.slice(0, colon).repeat(Number(rest.slice(colon + 1)));
  });
}
