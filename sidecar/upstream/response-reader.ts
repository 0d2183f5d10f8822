/**
 * The application's bytes as one answer to one request, or as a problem. Stricter than the parser where two
 * readers could differ: one length, no transfer coding but chunked, a bounded number of interim answers, no
 * protocol that nobody has asked for. Says what it has read after the parser is done, so that whoever acts on
 * it may close the connection.
 */
import type { ParsedHead, ParserEvents } from "../http1/llhttp.ts";
import { HttpParser } from "../http1/llhttp.ts";

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  /** Name, value, name, value …. */
  readonly headers: readonly string[];
}

/** What a piece of the connection's bytes has brought. */
export interface Reading {
  /** Of the final answer; interim ones are read over. */
  readonly head: ResponseHead | undefined;
  /** A copy, without chunk framing. */
  readonly body: Buffer | undefined;
  readonly end: ResponseEnd | undefined;
  /** What makes it no answer, after what of it was one. */
  readonly problem: string | undefined;
}

export interface ResponseEnd {
  readonly trailers: readonly string[];
  /** The connection may carry another exchange: nothing has come behind the answer, and both sides keep it. */
  readonly isReusable: boolean;
}

/** Interim answers before the final one; RFC 9110 §15.2 sets no bound, and nobody has a use for more. */
const MAX_INTERIM = 32;

export class ResponseReader implements ParserEvents {
  readonly #parser = HttpParser.forResponses(this);
  #interim = 0;
  #keepAlive = false;
  /** A final head was read whose body may still come. */
  #inAnswer = false;
  #trailers: readonly string[] = [];
  #isOver = false;
  #head: ResponseHead | undefined;
  #body: Buffer[] = [];
  #problem: string | undefined;

  /** What comes now answers one request. */
  begin(isHead: boolean): void {
    this.#parser.expectBody(!isHead);
    this.#parser.resume();
    this.#interim = 0;
    this.#inAnswer = false;
    this.#trailers = [];
    this.#isOver = false;
  }

  /** `bytes` may be used again afterwards. */
  read(bytes: Buffer): Reading {
    this.#head = undefined;
    this.#body = [];
    const taken = this.#parser.execute(bytes);
    const error = this.#parser.error;
    this.#problem ??= error === undefined ? undefined : error.reason;
    const isEnd = this.#isOver && this.#problem === undefined;
    return {
      head: this.#head,
      body: this.#body.length === 0 ? undefined : Buffer.concat(this.#body),
      end: isEnd
        ? {
            trailers: this.#trailers,
            isReusable: this.#keepAlive && taken === bytes.length,
          }
        : undefined,
      problem: this.#problem,
    };
  }

  /** The other side has closed: whether that is the answer's end (RFC 9112 §6.3, last case). */
  endsWithConnection(): boolean {
    return this.#inAnswer && this.#parser.finish() === undefined && this.#isOver;
  }

  close(): void {
    this.#parser.free();
  }

  onHead(head: ParsedHead): void {
    const problem = framingProblem(head);
    if (problem !== undefined) {
      this.#refuse(problem);
      return;
    }
    if (head.status < 200) {
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) {
        this.#refuse(`More than ${MAX_INTERIM} interim answers came before the final one`);
      }
      return;
    }
    this.#inAnswer = true;
    // Whatever a 204 announces, it has no body: what follows may be one all the same.
    this.#keepAlive = head.shouldKeepAlive && (head.status !== 204 || !announcesBody(head));
    this.#head = { status: head.status, reason: head.reason, headers: head.headers };
  }

  onBody(bytes: Buffer): void {
    this.#body.push(bytes);
  }

  onTrailers(fields: readonly string[]): void {
    this.#trailers = fields;
  }

  onComplete(): void {
    // An interim answer; the final one is behind it.
    if (!this.#inAnswer) return;
    this.#inAnswer = false;
    this.#isOver = true;
    this.#parser.pause();
  }

  #refuse(problem: string): void {
    this.#problem = problem;
    this.#parser.pause();
  }
}

/** RFC 9112 §6.1 to §6.3. Undefined: where the answer ends has one reading. */
function framingProblem(head: ParsedHead): string | undefined {
  if (head.status > 599) return `The status is ${head.status}`;
  if (head.status === 101) return "The application switched protocols unasked";
  let lengths = 0;
  let length = "";
  let codings = 0;
  for (let i = 0; i + 1 < head.headers.length; i += 2) {
    const name = head.headers[i] ?? "";
    // Both names are this long; most others are not.
    if (name.length !== 14 && name.length !== 17) continue;
    const key = name.toLowerCase();
    if (key === "content-length") {
      lengths += 1;
      length = head.headers[i + 1] ?? "";
    } else if (key === "transfer-encoding") {
      codings += 1;
      const coding = head.headers[i + 1] ?? "";
      if (coding.toLowerCase() !== "chunked") {
        return `The transfer coding is ${JSON.stringify(coding)}, and none was asked for`;
      }
    }
  }
  if (lengths > 1) return "There is more than one Content-Length";
  if (codings > 1) return "There is more than one Transfer-Encoding";
  if (lengths > 0 && codings > 0) return "There are Content-Length and Transfer-Encoding";
  if (codings > 0 && head.version === "1.0") return "There is a transfer coding in HTTP/1.0";
  if (lengths > 0 && !/^[0-9]{1,15}$/.test(length)) {
    return `The Content-Length is ${JSON.stringify(length)}`;
  }
  if (head.status < 200 && (codings > 0 || lengths > 0)) {
    return `An interim answer with status ${head.status} announces a body`;
  }
  return undefined;
}

function announcesBody({ headers }: ParsedHead): boolean {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const key = (headers[i] ?? "").toLowerCase();
    if (key === "transfer-encoding") return true;
    if (key === "content-length" && Number(headers[i + 1]) > 0) return true;
  }
  return false;
}
