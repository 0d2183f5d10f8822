/** The service that `postern dev` protects: a few orders, no checks of its own, and a count of what reached it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type LoopbackServer, serveOnLoopback } from "./loopback-server.ts";

export interface SampleService extends LoopbackServer {
  /** Requests that got through so far. */
  readonly received: number;
}

const ORDERS = [
  { id: "1", item: "lantern" },
  { id: "2", item: "rope" },
] as const;

export async function startSampleService(wishedPort: number): Promise<SampleService> {
  let received = 0;
  const server = await serveOnLoopback(wishedPort, (request, response) => {
    received += 1;
    request.resume();
    answer(request, response);
  });
  return {
    ...server,
    get received() {
      return received;
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const [path = "/"] = (request.url ?? "/").split("?");
  const order = ORDERS.find(({ id }) => path === `/orders/${id}`);
  const by = request.headers["x-postern-subject"] ?? "somebody";
  const isRead = request.method === "GET";
  if (path === "/orders" && isRead) send(response, 200, ORDERS);
  else if (path === "/orders" && request.method === "POST")
    send(response, 201, { created: true, by });
  else if (order !== undefined && isRead) send(response, 200, { ...order, by });
  else if (path === "/internal/keys")
    send(response, 200, { secret: "nobody outside should see this" });
  else send(response, 404, { error: "not found" });
}

function send(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(value)}\n`);
}
