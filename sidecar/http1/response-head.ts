/**
 * The head of an answer as bytes, with exactly one way to tell where its body ends (RFC 9112 §6.3). What stands
 * in it was checked before the first byte is sent: a header that could be read as two is a TypeError.
 */
import type { HeaderLine, ReplyHead } from "../exchange.ts";

/** How the end of an answer's body is told. */
export type BodyEnd =
  /** The answer has no place for a body; what is written is dropped. */
  | "none"
  | "length"
  | "chunks"
  /** To HTTP/1.0, which knows no chunks: by the end of the connection. */
  | "close";

export interface Framed {
  /** Latin-1, without the empty line and without what is said of the connection. */
  readonly text: string;
  readonly bodyEnd: BodyEnd;
  /** With "length". */
  readonly bytes: number;
}

const NOT_IN_A_NAME = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const NOT_IN_A_VALUE = /[^\t\u0020-\u007e\u0080-\u00ff]/;
const LENGTH = /^[0-9]{1,15}$/;
/** Of one connection (RFC 9110 §7.6.1), or framing, which is written here. */
const NEVER: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Throws TypeError or RangeError for what cannot be sent. */
export function frameHead(
  { status, reason, headers }: ReplyHead,
  request: { readonly isHead: boolean; readonly isHttp10: boolean },
  date: string,
): Framed {
  if (!(status >= 200 && status <= 599)) {
    throw new RangeError(`Cannot answer with status ${status}: it must be from 200 to 599`);
  }
  if (NOT_IN_A_VALUE.test(reason)) {
    throw new TypeError("Cannot write the status line: the reason has a forbidden character");
  }
  const hasNoBody = status === 204 || status === 205 || status === 304;
  let length: string | undefined;
  let hasDate = false;
  let trailer = "";
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (const line of headers) {
    const { name, key, value } = line;
    requireSendable(line);
    if (key === "content-length") {
      if (length !== undefined || !LENGTH.test(value)) {
        throw new TypeError(
          `Cannot send the length ${JSON.stringify(value)}: it must be one number`,
        );
      }
      length = value;
      // RFC 9110 §8.6: never with 204; with 205 it is our own zero.
      if (status === 204 || status === 205) continue;
    } else if (key === "trailer") {
      trailer += `${name}: ${value}\r\n`;
      continue;
    } else if (key === "date") hasDate = true;
    text += `${name}: ${value}\r\n`;
  }
  if (!hasDate) text += date;
  if (status === 205) text += "Content-Length: 0\r\n";
  if (hasNoBody || request.isHead) return { text, bodyEnd: "none", bytes: 0 };
  if (length !== undefined) return { text, bodyEnd: "length", bytes: Number(length) };
  if (request.isHttp10) return { text, bodyEnd: "close", bytes: 0 };
  text += `${trailer}Transfer-Encoding: chunked\r\n`;
  return { text, bodyEnd: "chunks", bytes: 0 };
}

/** Behind the last chunk. Throws TypeError for what cannot be sent. */
export function trailerText(lines: readonly HeaderLine[]): string {
  let text = "";
  for (const line of lines) {
    requireSendable(line);
    if (line.key === "content-length") throw new TypeError("Cannot send a length as a trailer");
    text += `${line.name}: ${line.value}\r\n`;
  }
  return text;
}

function requireSendable({ name, key, value }: HeaderLine): void {
  if (name === "" || NOT_IN_A_NAME.test(name)) {
    throw new TypeError(`Cannot send the header ${JSON.stringify(name)}: it is not a token`);
  }
  if (NEVER.has(key)) {
    throw new TypeError(`Cannot send the header ${JSON.stringify(name)}: it is of one connection`);
  }
  if (NOT_IN_A_VALUE.test(value)) {
    throw new TypeError(
      `Cannot send the header ${JSON.stringify(name)}: its value has a forbidden character`,
    );
  }
}
