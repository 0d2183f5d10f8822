/**
 * Requests to the API server. Who we are and whom we trust comes from client-node's KubeConfig (in-cluster
 * ServiceAccount, kubeconfig, exec plugins, proxies); the requests themselves are node:https, because
 * client-node's generated client opens a new connection pool for every call, and its Watch ends a quiet watch
 * after 30 s and hides what the server answered. Every failure leaves here as a ClusterError.
 */
import http from "node:http";
import https from "node:https";
import type { IncomingMessage } from "node:http";
import { KubeConfig } from "@kubernetes/client-node";
import { PosternError } from "../../runtime/error.ts";
import type { PosternErrorCode } from "../../runtime/error.ts";

/** A page of 500 objects of the largest size that etcd takes would not fit; real pages stay far below. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Objects are at most 1.5 MiB in etcd; JSON may be larger. */
const MAX_LINE_CHARS = 8 * 1024 * 1024;
const REQUEST_DEADLINE_MS = 30_000;

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly [field: string]: unknown;
}

export interface KubePage {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  /** For ERROR a `Status`, otherwise the object. */
  readonly object: KubeObject & { readonly code?: number; readonly message?: string };
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface KubeRequest {
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal: AbortSignal;
}

export interface KubeClient {
  /** Where the API server is; for the log. */
  readonly server: string;
  /** The answer's JSON. */
  send<T>(request: KubeRequest): Promise<T>;
  /**
   * Calls back when the server has accepted the watch, and for each event until the server closes, which is how
   * it resolves; a broken connection rejects.
   */
  watch(
    request: KubeRequest,
    onEvent: (event: WatchEvent) => void,
    onOpen: () => void,
  ): Promise<void>;
  close(): void;
}

/** What the API server (or the way to it) did, with the HTTP status where there is one. */
export class ClusterError extends PosternError {
  readonly status: number | undefined;

  constructor(
    code: PosternErrorCode,
    message: string,
    options: { readonly status?: number; readonly cause?: unknown } = {},
  ) {
    super(code, message, options);
    this.name = "ClusterError";
    this.status = options.status;
  }
}

export function hasStatus(error: unknown, status: number): boolean {
  return error instanceof ClusterError && error.status === status;
}

/** From a kubeconfig file, or, without one, as the pod's ServiceAccount. */
export function loadKubeConfig(file?: string): KubeConfig {
  const config = new KubeConfig();
  if (file === undefined) config.loadFromCluster();
  else config.loadFromFile(file);
  if (config.getCurrentCluster() === null) {
    throw new TypeError(
      `Cannot reach a cluster as the kubeconfig ${JSON.stringify(file ?? "in-cluster")} has no current context`,
    );
  }
  return config;
}

export function createKubeClient(config: KubeConfig): KubeClient {
  const server = config.getCurrentCluster()?.server ?? "";
  const secure = server.startsWith("https:");
  const agent = secure
    ? new https.Agent({ keepAlive: true, maxFreeSockets: 8 })
    : new http.Agent({ keepAlive: true, maxFreeSockets: 8 });

  async function open(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const url = new URL(server.replace(/\/$/, "") + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const options: https.RequestOptions = { method: request.method, signal };
    await config.applyToHTTPSOptions(options);
    // KubeConfig's own agent does not keep connections; only through a proxy do we need it.
    if (config.getCurrentCluster()?.proxyUrl === undefined) options.agent = agent;
    options.headers = {
      ...(options.headers as http.OutgoingHttpHeaders | undefined),
      accept: request.accept ?? "application/json",
      "user-agent": "postern-controller",
    };
    if (body !== undefined) {
      options.headers["content-type"] = request.contentType ?? "application/json";
      options.headers["content-length"] = Buffer.byteLength(body);
    }
    return await new Promise((resolve, reject) => {
      const outgoing = (secure ? https : http).request(url, options, resolve);
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }

  return {
    server,
    async send<T>(request: KubeRequest): Promise<T> {
      const what = `${request.method} ${request.path}`;
      const deadline = AbortSignal.timeout(REQUEST_DEADLINE_MS);
      const signal = AbortSignal.any([request.signal, deadline]);
      try {
        const response = await open(request, signal);
        const text = await readAll(response);
        const status = response.statusCode ?? 0;
        if (status < 200 || status > 299) throw refusal(what, status, text);
        return JSON.parse(text) as T;
      } catch (error) {
        throw from(error, what, request.signal);
      }
    },
    async watch(request, onEvent, onOpen) {
      const what = `WATCH ${request.path}`;
      try {
        const response = await open(
          { ...request, query: { ...request.query, watch: true } },
          request.signal,
        );
        const status = response.statusCode ?? 0;
        if (status !== 200) throw refusal(what, status, await readAll(response));
        onOpen();
        await readLines(response, (line) => onEvent(JSON.parse(line) as WatchEvent));
      } catch (error) {
        throw from(error, what, request.signal);
      }
    },
    close: () => agent.destroy(),
  };
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) {
      throw new ClusterError("cluster.rejected", `The answer exceeds ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function readLines(response: IncomingMessage, online: (line: string) => void): Promise<void> {
  response.setEncoding("utf8");
  let rest = "";
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS) {
      throw new ClusterError("cluster.rejected", `A watch event exceeds ${MAX_LINE_CHARS} bytes`);
    }
    for (const line of lines) if (line !== "") online(line);
  }
}

function refusal(what: string, status: number, body: string): ClusterError {
  return new ClusterError(codeOf(status), `${what}: HTTP ${status}: ${messageOf(body)}`, {
    status,
  });
}

function codeOf(status: number): PosternErrorCode {
  if (status === 401 || status === 403) return "cluster.forbidden";
  if (status === 409) return "cluster.conflict";
  if (status === 429 || status >= 500) return "cluster.unavailable";
  return "cluster.rejected";
}

/** Kubernetes answers with a `Status`; whatever stands in front of it may answer with anything. */
function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { readonly message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // Not a Status: the text itself must do.
  }
  return body.slice(0, 200);
}

function from(error: unknown, what: string, signal: AbortSignal): Error {
  if (error instanceof PosternError) return error;
  if (signal.aborted) return new ClusterError("aborted", `${what}: aborted`, { cause: error });
  return new ClusterError("cluster.unavailable", `${what}: no answer from the API server`, {
    cause: error,
  });
}
