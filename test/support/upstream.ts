/**
 * A real upstream on a plain socket. It keeps every byte that it got, so that a test can say what reached the
 * application and not what some parser made of it; and it answers with whatever bytes a test wants.
 */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export interface SeenRequest {
  /** Request line and headers, one character per byte. */
  readonly head: string;
  readonly body: string;
}

/** Bytes of an answer; a function may write to the socket as it likes. */
export type UpstreamAnswer = string | ((request: SeenRequest, socket: Socket) => void);

export interface RecordingUpstream extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly requests: readonly SeenRequest[];
  /** Everything received, over all connections. */
  readonly bytes: string;
  readonly connections: number;
  answer: UpstreamAnswer;
  forget(): void;
  /** Resolves with the request of that number (from 0) once it is complete. */
  request(index: number): Promise<SeenRequest>;
  close(): Promise<void>;
}

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

export async function recordingUpstream(answer: UpstreamAnswer = OK): Promise<RecordingUpstream> {
  let requests: SeenRequest[] = [];
  let bytes = "";
  const sockets = new Set<Socket>();
  const waiting: { readonly index: number; readonly resolve: (seen: SeenRequest) => void }[] = [];

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // The other side may go at any time; that is what some tests are about.
    socket.on("error", () => socket.destroy());
    let pending = "";
    socket.on("data", (chunk) => {
      const text = chunk.toString("latin1");
      bytes += text;
      pending += text;
      for (;;) {
        const taken = takeRequest(pending);
        if (taken === undefined) break;
        pending = pending.slice(taken.length);
        requests.push(taken.request);
        for (const { index, resolve } of waiting) {
          const seen = requests[index];
          if (seen !== undefined) resolve(seen);
        }
        if (typeof upstream.answer === "string") socket.write(upstream.answer, "latin1");
        else upstream.answer(taken.request, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  const upstream: RecordingUpstream = {
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    get requests() {
      return requests;
    },
    get bytes() {
      return bytes;
    },
    get connections() {
      return sockets.size;
    },
    answer,
    forget: () => {
      requests = [];
      bytes = "";
    },
    request: (index) => {
      const seen = requests[index];
      if (seen !== undefined) return Promise.resolve(seen);
      return new Promise((resolve) => waiting.push({ index, resolve }));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  return upstream;
}

/** Answers each connection's first bytes, and does not wait for whole requests. */
export async function answeringAtOnce(
  answer: string,
): Promise<
  AsyncDisposable & { readonly host: string; readonly port: number; readonly connections: number }
> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.write(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function takeRequest(
  pending: string,
): { readonly request: SeenRequest; readonly length: number } | undefined {
  const end = pending.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = pending.slice(0, end + 4);
  const length = /\r\ncontent-length: *([0-9]+)/i.exec(head)?.[1];
  let total = head.length;
  if (length !== undefined) total += Number(length);
  else if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const last = pending.indexOf("0\r\n\r\n", head.length);
    if (last === -1) return undefined;
    total = last + 5;
  }
  if (pending.length < total) return undefined;
  return { request: { head, body: pending.slice(head.length, total) }, length: total };
}
