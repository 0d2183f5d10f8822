/**
 * The only place where a denial becomes an answer: RFC 9457 problem details, with the challenge of RFC 6750
 * where a credential can help. Says the code and the request's id; what exactly was wrong stays with the
 * operator.
 */
import type { DenialCode } from "../policy/denials.ts";
import { DENIALS } from "../policy/denials.ts";
import type { HeaderLine, Reply, ReplyHead } from "./exchange.ts";

export interface Refusal {
  readonly code: DenialCode;
  readonly requestId: string;
  /** Scopes that would have sufficed. */
  readonly scopes?: readonly string[];
}

export interface Answer {
  readonly head: ReplyHead;
  readonly body: Uint8Array;
}

const TYPE_BASE = "https://postern.dev/denials/";
/** What RFC 9110 §15.5.6 asks for; the methods that applications commonly serve. */
const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  405: "Method Not Allowed",
  408: "Request Timeout",
  417: "Expectation Failed",
  421: "Misdirected Request",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
/** RFC 6749 Appendix A.4; anything else cannot stand in the challenge and is left out. */
const SCOPE_TOKEN = /^[\u0021\u0023-\u005b\u005d-\u007e]+$/;

/** `close`: the connection is not read from any more, since its state is unknown or a body is left unread. */
export function refuse(
  reply: Reply,
  refusal: Refusal,
  options: { readonly isHead: boolean; readonly close: boolean },
): void {
  const { head, body } = answerOf(refusal);
  reply.answer(head, options.isHead ? new Uint8Array() : body, options.close);
}

/** For a connection on which no request could be made out: the bytes of a whole answer that ends it. */
export function refuseBytes(refusal: Refusal): Uint8Array {
  const { head, body } = answerOf(refusal);
  const lines = head.headers.map(({ name, value }) => `${name}: ${value}\r\n`).join("");
  const text = `HTTP/1.1 ${head.status} ${head.reason}\r\n${lines}Connection: close\r\n\r\n`;
  return Buffer.concat([Buffer.from(text, "latin1"), body]);
}

export function statusOf(code: DenialCode): number {
  return DENIALS[code].status;
}

export function answerOf({ code, requestId, scopes = [] }: Refusal): Answer {
  const denial = DENIALS[code];
  const problem = {
    type: `${TYPE_BASE}${code}`,
    title: denial.title,
    status: denial.status,
    code,
    requestId,
  };
  const body = Buffer.from(`${JSON.stringify(problem)}\n`, "utf8");
  const headers = [
    line("Content-Type", "application/problem+json"),
    line("Content-Length", String(body.length)),
    line("Cache-Control", "no-store"),
  ];
  const challenge = challengeOf(code, scopes);
  if (challenge !== undefined) headers.push(line("WWW-Authenticate", challenge));
  if ("retryAfterSeconds" in denial) {
    headers.push(line("Retry-After", String(denial.retryAfterSeconds)));
  }
  if (denial.status === 405) headers.push(line("Allow", ALLOW));
  const reason = REASONS[denial.status] ?? "";
  return { head: { status: denial.status, reason, headers }, body };
}

/** RFC 6750 §3: who sent nothing learns the scheme only; who sent something learns what to do about it. */
function challengeOf(code: DenialCode, scopes: readonly string[]): string | undefined {
  const scheme = 'Bearer realm="postern"';
  if (code === "authn.missing") return scheme;
  if (code === "authn.ambiguous") return `${scheme}, error="invalid_request"`;
  if (code === "authz.scope") {
    const sayable = scopes.filter((scope) => SCOPE_TOKEN.test(scope));
    const needed = sayable.length === 0 ? "" : `, scope="${sayable.join(" ")}"`;
    return `${scheme}, error="insufficient_scope"${needed}`;
  }
  return DENIALS[code].status === 401 ? `${scheme}, error="invalid_token"` : undefined;
}

function line(name: string, value: string): HeaderLine {
  return { name, key: name.toLowerCase(), value };
}
