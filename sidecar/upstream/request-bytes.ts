/** The bytes of a request as the application gets them, written once, from what was decided on. */
import type { Framing, HeaderLine, HeaderList } from "../exchange.ts";
import { requestHeaders } from "../hop-by-hop.ts";

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderList;
  readonly framing: Framing;
}

/** What would end a line or a word early. Nothing of it can have come this far; if it has, nothing is sent. */
const NOT_IN_A_NAME = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const NOT_IN_A_VALUE = /[^\t\u0020-\u007e\u0080-\u00ff]/;
const NOT_IN_A_TARGET = /[^\u0021-\u007e]/;

/** Latin-1: one character is one byte. Throws TypeError where a part could not be read back as it was meant. */
export function requestHead(request: RequestHead, identity: readonly HeaderLine[]): string {
  const { method, target } = request;
  if (method === "" || NOT_IN_A_NAME.test(method) || !isTarget(target)) {
    throw new TypeError(
      "Cannot write the request line: method or target has a forbidden character",
    );
  }
  const flat = requestHeaders(request, identity);
  let text = `${method} ${target} HTTP/1.1\r\n`;
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] ?? "";
    const value = flat[i + 1] ?? "";
    if (name === "" || NOT_IN_A_NAME.test(name) || NOT_IN_A_VALUE.test(value)) {
      throw new TypeError(`Cannot write the header ${JSON.stringify(name)}: forbidden character`);
    }
    text += `${name}: ${value}\r\n`;
  }
  return `${text}Connection: keep-alive\r\n\r\n`;
}

/** The line before a chunk; the chunk's own end is `\r\n`. */
export function chunkHead(bytes: number): string {
  return `${bytes.toString(16)}\r\n`;
}

export const LAST_CHUNK = "0\r\n\r\n";

function isTarget(target: string): boolean {
  return target !== "" && !NOT_IN_A_TARGET.test(target);
}
