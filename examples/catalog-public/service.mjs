/** A small product catalogue: everybody may read it; its own back office writes to it. `PORT=3000 node service.mjs` */
import { createServer } from "node:http";

const products = new Map([
  ["lantern", { sku: "lantern", name: "Lantern", price: 25 }],
  ["rope", { sku: "rope", name: "Rope, 20 m", price: 12 }],
]);

const server = createServer((request, response) => {
  const [path = "/"] = (request.url ?? "/").split("?");
  const sku = /^\/products\/([^/]+)$/.exec(path)?.[1];
  const product = sku === undefined ? undefined : products.get(sku);
  request.resume();

  if (path === "/products" && request.method === "GET") return answer(200, [...products.values()]);
  if (product !== undefined && request.method === "GET") return answer(200, product);
  // The back office comes through another port of the pod in a real deployment; here it is simply reachable,
  // and only the policy keeps the public away from it.
  if (product !== undefined && request.method === "DELETE") {
    products.delete(product.sku);
    return answer(200, { deleted: product.sku });
  }
  return answer(404, { error: "not found" });

  function answer(status, value) {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(`${JSON.stringify(value)}\n`);
  }
});

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? "127.0.0.1", () => {
  process.stdout.write(`catalog-public serves on port ${server.address().port}\n`);
});
process.once("SIGTERM", () => server.close());
