/**
 * The only way out of the controller to addresses that a policy author chose. GET, JSON, no redirects, no
 * credentials, bounded in size and time. Policy authors are not cluster operators: a URL must not make the
 * controller ask the cloud's metadata service or a link-local address (server-side request forgery), so the
 * address is checked when it is dialled, after the name was resolved: a name that changes its answer between
 * check and use (DNS rebinding) gains nothing.
 */
import { lookup as resolve } from "node:dns";
import http from "node:http";
import https from "node:https";
import { BlockList, isIP } from "node:net";
import type { LookupFunction } from "node:net";
import type { IncomingMessage } from "node:http";
import { rootCertificates } from "node:tls";
import { PosternError } from "../../runtime/error.ts";

const DEADLINE_MS = 5_000;
/** Real key sets and discovery documents are below 20 KiB. */
const MAX_BODY_BYTES = 256 * 1024;

export interface FetchOptions {
  /** PEM; trusted in addition to the well-known authorities. */
  readonly extraCa?: string;
  readonly deadlineMs?: number;
}

/** Resolves to the parsed JSON; throws PosternError `fetch.refused` (we do not ask) or `fetch.failed` (no good answer). */
export async function fetchJson(
  address: string,
  signal: AbortSignal,
  options: FetchOptions = {},
): Promise<unknown> {
  const url = permittedUrl(address);
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const deadline = AbortSignal.timeout(deadlineMs);
  try {
    const response = await get(url, AbortSignal.any([signal, deadline]), options);
    const status = response.statusCode ?? 0;
    if (status !== 200) {
      response.destroy();
      throw failed(
        status >= 300 && status <= 399
          ? `it answers with a redirect (HTTP ${status}), which is not followed`
          : `it answers HTTP ${status}`,
      );
    }
    return parse(await body(response));
  } catch (error) {
    if (error instanceof PosternError) throw named(error, url);
    if (signal.aborted) throw new PosternError("aborted", `Fetch of ${url.href}: aborted`);
    if (deadline.aborted) throw named(failed(`no answer within ${deadlineMs} ms`), url);
    throw named(failed("no connection", error), url);
  }
}

/** Why this address may not be connected to, or undefined. Exported for its test. */
export function refusedAddress(address: string, secure: boolean): string | undefined {
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (isIP(address) === 0) return `${JSON.stringify(address)} is not an IP address`;
  if (NEVER.check(address, family)) {
    return `${address} is a link-local, metadata, multicast or unspecified address`;
  }
  if (!secure && !LOOPBACK.check(address, family)) {
    return `${address} is not a loopback address, and plain http is accepted on loopback only`;
  }
  return undefined;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** BlockList applies IPv4 rows to IPv4-mapped IPv6 addresses too. */
const NEVER = new BlockList();
NEVER.addSubnet("0.0.0.0", 8, "ipv4"); // "this host": connects to loopback on Linux
NEVER.addSubnet("169.254.0.0", 16, "ipv4"); // link-local, and the clouds' metadata
NEVER.addAddress("100.100.100.200", "ipv4"); // Alibaba Cloud metadata
NEVER.addAddress("168.63.129.16", "ipv4"); // Azure's host
NEVER.addAddress("192.0.0.192", "ipv4"); // Oracle Cloud metadata
NEVER.addSubnet("224.0.0.0", 4, "ipv4"); // multicast
NEVER.addSubnet("240.0.0.0", 4, "ipv4"); // reserved, and broadcast
NEVER.addAddress("::", "ipv6");
NEVER.addSubnet("fe80::", 10, "ipv6"); // link-local
NEVER.addSubnet("ff00::", 8, "ipv6"); // multicast
NEVER.addSubnet("64:ff9b::", 96, "ipv6"); // NAT64: any IPv4 address in disguise
NEVER.addSubnet("2002::", 16, "ipv6"); // 6to4: likewise
NEVER.addAddress("fd00:ec2::254", "ipv6"); // AWS metadata
NEVER.addAddress("fd20:ce::254", "ipv6"); // Google Cloud metadata

function permittedUrl(address: string): URL {
  const url = URL.parse(address);
  if (url === null) throw refused(`Fetch of ${JSON.stringify(address)}: it is not a URL`);
  const secure = url.protocol === "https:";
  if (!secure && url.protocol !== "http:") {
    throw refused(`Fetch of ${JSON.stringify(address)}: only https is accepted`);
  }
  if (url.username !== "" || url.password !== "") {
    // Not quoted: it would put the password into a status.
    throw refused(`Fetch from ${JSON.stringify(url.host)}: a URL with credentials is not accepted`);
  }
  const host = hostOf(url);
  const problem =
    isIP(host) === 0
      ? !secure && host !== "localhost"
        ? "plain http is accepted on loopback only"
        : undefined
      : refusedAddress(host, secure);
  if (problem !== undefined) throw refused(`Fetch of ${url.href}: ${problem}`);
  return url;
}

function get(url: URL, signal: AbortSignal, options: FetchOptions): Promise<IncomingMessage> {
  const secure = url.protocol === "https:";
  const common: http.RequestOptions = {
    // A connection of its own: nothing is shared between issuers.
    agent: false,
    signal,
    lookup: guardedLookup(secure),
    headers: { accept: "application/json, application/jwk-set+json", "user-agent": "postern" },
  };
  return new Promise((resolve, reject) => {
    const outgoing = secure
      ? https.request(
          url,
          options.extraCa === undefined
            ? common
            : { ...common, ca: [...rootCertificates, options.extraCa] },
          resolve,
        )
      : http.request(url, common, resolve);
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/** One bad address among several spoils them all: which one gets dialled is not ours to choose. */
function guardedLookup(secure: boolean): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, "", 0);
        return;
      }
      for (const { address } of addresses) {
        const problem = refusedAddress(address, secure);
        if (problem !== undefined) {
          callback(refused(`${JSON.stringify(hostname)} resolves to ${problem}`), "", 0);
          return;
        }
      }
      const first = addresses[0];
      if (options.all === true) callback(null, addresses);
      else if (first === undefined) callback(failed("the name has no address"), "", 0);
      else callback(null, first.address, first.family);
    });
  };
}

async function body(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw failed(`the answer exceeds ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's words quote the answer, which is somebody else's; it stays out of a status.
    throw failed("the answer is not JSON");
  }
}

function hostOf(url: URL): string {
  return url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
}

function named(error: PosternError, url: URL): PosternError {
  if (error.message.startsWith("Fetch ")) return error;
  return new PosternError(error.code, `Fetch of ${url.href}: ${error.message}`, {
    cause: error.cause,
  });
}

function refused(message: string): PosternError {
  return new PosternError("fetch.refused", message);
}

function failed(message: string, cause?: unknown): PosternError {
  return new PosternError("fetch.failed", message, { cause });
}
