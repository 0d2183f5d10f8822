/** One request over a connection of its own, as curl would make it, for checks on what is really answered. */
import { request } from "node:http";

export interface Question {
  readonly url: string;
  readonly method?: string;
  readonly token?: string;
}

export interface Answer {
  readonly status: number;
  /** The code of a refusal (RFC 9457 problem), or "". */
  readonly code: string;
  readonly body: string;
}

const WITHIN_MS = 10_000;
const MAX_BODY = 64 * 1024;

export function ask(
  { url, method = "GET", token }: Question,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method,
      agent: false,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]),
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body = (body + chunk).slice(0, MAX_BODY);
      });
      response.once("error", reject);
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, code: codeOf(body), body }),
      );
    });
    outgoing.end();
  });
}

function codeOf(body: string): string {
  try {
    const { code } = JSON.parse(body) as { readonly code?: unknown };
    return typeof code === "string" ? code : "";
  } catch {
    return ""; // the service's own answer, in whatever form
  }
}
