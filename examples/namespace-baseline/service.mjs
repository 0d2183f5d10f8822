/** A small invoices service, in a namespace that already has rules of its own. `PORT=3000 node service.mjs` */
import { createServer } from "node:http";

const invoices = new Map([["7", { id: "7", total: 120 }]]);

const server = createServer((request, response) => {
  const [path = "/"] = (request.url ?? "/").split("?");
  const invoice = invoices.get(/^\/invoices\/([^/]+)$/.exec(path)?.[1] ?? "");
  request.resume();

  if (invoice !== undefined && request.method === "GET") return answer(200, invoice);
  if (path === "/admin/reindex" && request.method === "POST")
    return answer(202, { reindex: "started" });
  if (path === "/internal/metrics" && request.method === "GET")
    return answer(200, { invoices: invoices.size });
  return answer(404, { error: "not found" });

  function answer(status, value) {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(`${JSON.stringify(value)}\n`);
  }
});

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? "127.0.0.1", () => {
  process.stdout.write(`namespace-baseline serves on port ${server.address().port}\n`);
});
process.once("SIGTERM", () => server.close());
