/** The yardstick: the shortest honest proxy on Node's own HTTP, which checks nothing. `plain-proxy.ts UPSTREAM_PORT`. */
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

const upstreamPort = Number(process.argv[2]);
const agent = new Agent({ keepAlive: true });
const server = createServer((incoming, answer) => {
  const { method, url, rawHeaders } = incoming;
  const forwarded = request(
    { agent, host: "127.0.0.1", port: upstreamPort, method, path: url, headers: rawHeaders },
    (response) => {
      if (answer.destroyed) return void response.destroy(); // the caller has left
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders);
      pipeline(response, answer, () => undefined);
    },
  );
  forwarded.on("error", () => answer.destroy());
  pipeline(incoming, forwarded, () => undefined);
});
server.listen(0, "127.0.0.1", () => {
  process.send?.((server.address() as AddressInfo).port);
});
process.on("disconnect", () => process.exit(0));
