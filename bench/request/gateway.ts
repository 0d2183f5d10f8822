/** A Node gateway as it is usually built: Fastify with @fastify/http-proxy, which checks nothing. `gateway.ts UPSTREAM_PORT`. */
import type { AddressInfo } from "node:net";
import proxy from "@fastify/http-proxy";
import fastify from "fastify";

const gateway = fastify({ bodyLimit: 1_073_741_824 });
await gateway.register(proxy, { upstream: `http://127.0.0.1:${process.argv[2]}` });
await gateway.listen({ port: 0, host: "127.0.0.1" });
process.send?.((gateway.server.address() as AddressInfo).port);
process.on("disconnect", () => process.exit(0));
