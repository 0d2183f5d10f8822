/** Why bytes are no message, in terms of what to tell the other side; llhttp's own words stay as the reason. */
import type { DenialCode } from "../../policy/denials.ts";

export type ParseErrorKind =
  | "malformed"
  /** The request begins with a word that is no method that llhttp knows. */
  | "method"
  | "head-size"
  | "trailer-size"
  | "chunk-extension"
  /** The bytes end within a message. */
  | "end"
  /** Bytes behind a message that was said to be the last. */
  | "after-last";

export interface ParseError {
  readonly kind: ParseErrorKind;
  readonly reason: string;
  /** How many bytes of the message were good. */
  readonly offset: number;
}

/** llhttp's own numbers (undici/lib/llhttp/constants.js, ERROR). */
const CLOSED_CONNECTION = 5;
const INVALID_METHOD = 6;
const SPACE = 0x20;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/;

/** `byte` is the first one that cannot be: it tells an unknown method from what is no method at all. */
export function llhttpError(
  code: number,
  reason: string,
  offset: number,
  byte: number | undefined,
): ParseError {
  return { kind: kindOf(code, offset, byte), reason, offset };
}

function kindOf(code: number, offset: number, byte: number | undefined): ParseErrorKind {
  if (code === CLOSED_CONNECTION) return "after-last";
  if (code !== INVALID_METHOD || byte === undefined) return "malformed";
  const isWord = byte === SPACE ? offset > 0 : TOKEN.test(String.fromCharCode(byte));
  return isWord ? "method" : "malformed";
}

/** What a caller is told whose request it is. */
export function denialOf({ kind }: ParseError): DenialCode {
  switch (kind) {
    case "method":
      return "request.method";
    case "head-size":
    case "trailer-size":
      return "request.header-size";
    case "malformed":
    case "chunk-extension":
    case "end":
    case "after-last":
      return "request.malformed";
  }
}
