/** A small orders service. It checks nothing by itself: that is the sidecar's work. `PORT=3000 node service.mjs` */
import { createServer } from "node:http";

const MAX_BODY_BYTES = 64 * 1024;
const MAX_ORDERS = 1000;
const orders = new Map([["1", { id: "1", item: "lantern", by: "alice" }]]);
let lastId = 1;

const server = createServer(async (request, response) => {
  const [path = "/"] = (request.url ?? "/").split("?");
  const id = /^\/orders\/([^/]+)$/.exec(path)?.[1];
  const order = id === undefined ? undefined : orders.get(id);

  if (path === "/orders" && request.method === "GET") return answer(200, [...orders.values()]);
  if (path === "/orders" && request.method === "POST") return create();
  if (order !== undefined && request.method === "GET") return answer(200, order);
  if (order !== undefined && request.method === "DELETE") {
    orders.delete(order.id);
    return answer(200, { deleted: order.id });
  }
  // What nobody should reach from outside, and no policy rule declares.
  if (path === "/debug/dump")
    return answer(200, { orders: [...orders.values()], environment: "…" });
  return answer(404, { error: "not found" });

  async function create() {
    const text = await body(request);
    if (text === undefined) return answer(413, { error: "too large" });
    if (orders.size >= MAX_ORDERS) return answer(507, { error: "full" });
    let wish;
    try {
      wish = JSON.parse(text);
    } catch {
      return answer(400, { error: "not JSON" });
    }
    lastId += 1;
    // The sidecar writes this header from the verified token, and removes what callers send under its name.
    const by = request.headers["x-postern-subject"] ?? "unknown";
    const created = { id: String(lastId), item: String(wish?.item ?? ""), by };
    orders.set(created.id, created);
    return answer(201, created);
  }

  function answer(status, value) {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(`${JSON.stringify(value)}\n`);
  }
});

async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? "127.0.0.1", () => {
  process.stdout.write(`orders-api serves on port ${server.address().port}\n`);
});
process.once("SIGTERM", () => server.close());
