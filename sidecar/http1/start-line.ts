/**
 * The first line of a message, exactly as RFC 9112 §3 and §4 write it: single spaces, HTTP/1.0 or HTTP/1.1,
 * CR LF. llhttp takes more (several spaces, HTTP/0.9, HTTP/2.0, RTSP, ICE); whoever is behind us may read that
 * in another way.
 */

export interface StartLine {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly reason: string;
  readonly version: "1.0" | "1.1";
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP\/1\.([01])\r\n$/;
/** The space before an absent reason is left out by many (RFC 9112 §4 asks for it). */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?\r\n$/;

export function readRequestLine(line: string): StartLine | undefined {
  const match = REQUEST_LINE.exec(line);
  if (match === null) return undefined;
  return {
    method: match[1] ?? "",
    target: match[2] ?? "",
    status: 0,
    reason: "",
    version: match[3] === "1" ? "1.1" : "1.0",
  };
}

export function readStatusLine(line: string): StartLine | undefined {
  const match = STATUS_LINE.exec(line);
  if (match === null) return undefined;
  return {
    method: "",
    target: "",
    status: Number(match[2]),
    reason: match[3] ?? "",
    version: match[1] === "1" ? "1.1" : "1.0",
  };
}
