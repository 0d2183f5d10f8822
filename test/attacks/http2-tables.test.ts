/**
 * The tables for HTTP/1.1, sent over HTTP/2: what is refused there is refused here with the same code, or its
 * stream is reset before anybody has read it; what passes there passes here. Rows about HTTP/1.1's own framing
 * have no counterpart.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { prepare } from "../../sidecar/prepared.ts";
import type { Field } from "../support/h2-frames.ts";
import { data, headers } from "../support/h2-frames.ts";
import type { H2Lane } from "../support/h2-lane.ts";
import { openH2Lane } from "../support/h2-lane.ts";
import { attackPolicy } from "./policy.ts";
import { attackTokens } from "./tokens.ts";

interface Row {
  readonly title: string;
  readonly send: string;
  readonly expect: {
    readonly status: number;
    readonly code?: string;
    readonly upstream: "untouched" | "served" | "unfinished";
  };
}

interface Translated {
  readonly title: string;
  readonly row: Row;
  readonly fields: readonly Field[];
  readonly body: string;
  /** A field that HTTP/2 knows no place for: the stream is reset, whatever HTTP/1.1 makes of it. */
  readonly isConnectionSpecific: boolean;
}

const PROTOCOL_ERROR = 1;
const CONNECTION_SPECIFIC = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
/** Refused in HTTP/1.1 and served here; each for a reason. */
const SERVED_HERE: Readonly<Record<string, string>> = {
  "two Cookie headers": "RFC 9113 §8.2.3: in HTTP/2 they are crumbs of one, and go on as one.",
  "a control character in a value": "Node's parser leaves the field out, so it never gets further.",
  "a NUL in a value": "Node's parser leaves the field out, so it never gets further.",
};
/** Refused by the parser there, by normal form here. */
const OTHER_CODE: Readonly<Record<string, string>> = {
  "a raw byte above ASCII": "request.path",
  "a raw byte above ASCII in the query": "request.path",
};
/** Whose head takes more CONTINUATION frames than Node allows: the connection ends, see http2.test.ts. */
const MAX_HEAD = 100_000;

const tokens = attackTokens(Date.now());
const rows = ["headers", "host", "path", "token"].flatMap((family) =>
  (
    parse(readFileSync(join(import.meta.dirname, `${family}.yaml`), "utf8")) as readonly Row[]
  ).flatMap((row) => translate(family, row) ?? []),
);

let lane: H2Lane;

beforeAll(async () => {
  const prepared = await prepare(attackPolicy(tokens.jwks));
  lane = await openH2Lane();
  lane.current = () => prepared;
});

afterAll(async () => {
  await lane[Symbol.asyncDispose]();
});

beforeEach(() => {
  lane.upstream.forget();
});

describe("the tables for HTTP/1.1 over HTTP/2", () => {
  test("are there for the most part", () => {
    expect(rows.length).toBeGreaterThan(150);
    expect(rows.filter(({ row }) => row.expect.upstream === "served").length).toBeGreaterThan(20);
  });

  test.each(rows.map((each) => [each.title, each] as const))("%s", async (_title, each) => {
    const { row, fields, body } = each;
    await using client = await lane.frames();
    client.send(headers(1, fields, { end: body === "" }), ...(body === "" ? [] : [data(1, body)]));
    const answer = await client.answer(1);
    const isServed =
      !each.isConnectionSpecific && (row.expect.upstream === "served" || row.title in SERVED_HERE);
    if (isServed) {
      expect(answer).toMatchObject({ status: 200, reset: undefined });
      expect(lane.upstream.requests).toHaveLength(1);
      return;
    }
    expect(lane.upstream.bytes).toBe("");
    if (answer.reset !== undefined) {
      expect(answer).toEqual({ status: 0, body: "", reset: PROTOCOL_ERROR });
      return;
    }
    expect({ status: answer.status, code: codeOf(answer.body, row) }).toEqual({
      status: row.expect.status,
      code: OTHER_CODE[row.title] ?? row.expect.code,
    });
  });
});

/** Undefined: it has no counterpart in HTTP/2. */
function translate(family: string, row: Row): Translated | undefined {
  const end = row.send.indexOf("\r\n\r\n");
  const [line = "", ...lines] = row.send.slice(0, end).split("\r\n");
  const [, method, target] = /^([A-Z]+) ([^ ]*) HTTP\/1\.1$/.exec(fill(line)) ?? [];
  if (end === -1 || method === undefined || target === undefined) return undefined;
  if (fill(row.send).length > MAX_HEAD) return undefined;
  const fields: Field[] = [];
  for (const text of lines) {
    const [, name, value] = /^([^\s:]+): *(.*?) *$/.exec(fill(text)) ?? [];
    if (name === undefined || value === undefined) return undefined;
    fields.push([name.toLowerCase(), value]);
  }
  const hosts = fields.filter(([name]) => name === "host");
  const [[, authority] = ["", ""]] = hosts;
  const pseudo: Field[] = [
    [":method", method],
    [":scheme", "http"],
    [":path", target],
  ];
  if (hosts.length === 1) pseudo.push([":authority", authority]);
  return {
    title: `${family}: ${row.title}`,
    row,
    fields: [...pseudo, ...fields.filter(([name]) => hosts.length !== 1 || name !== "host")],
    body: fill(row.send.slice(end + 4)),
    isConnectionSpecific: fields.some(([name]) => CONNECTION_SPECIFIC.has(name)),
  };
}

function fill(text: string): string {
  return text.replace(/\{\{(token|repeat):([^{}]+)\}\}/g, (_match, kind: string, rest: string) => {
    if (kind === "token") return tokens.get(rest);
    const colon = rest.lastIndexOf(":");
    return rest.slice(0, colon).repeat(Number(rest.slice(colon + 1)));
  });
}

/** The answer to HEAD does not say. */
function codeOf(body: string, row: Row): unknown {
  return body === "" ? row.expect.code : (JSON.parse(body) as { readonly code: unknown }).code;
}
