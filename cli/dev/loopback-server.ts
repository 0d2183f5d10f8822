/** A small HTTP server on loopback: on the wished port, or on any when that one is taken. */
import { type RequestListener, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PosternError } from "../../runtime/error.ts";

export interface LoopbackServer {
  readonly port: number;
  readonly url: string;
  close(): Promise<void>;
}

export async function serveOnLoopback(
  wishedPort: number,
  listener: RequestListener,
): Promise<LoopbackServer> {
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, listener);
  try {
    await listen(server, wishedPort);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw failed(error);
    await listen(server, 0).catch((cause: unknown) => {
      throw failed(cause);
    });
  }
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function failed(cause: unknown): PosternError {
  return new PosternError("listen.failed", "Cannot listen on 127.0.0.1", { cause });
}
