/**
 * The policy that the attacks run against: a namespace layer that knows who calls, and a workload layer that
 * declares a few operations. `/ping` is for everybody, `/orders` for callers with a token.
 */
import type { Bundle, PublicJwk } from "../../policy/bundle.ts";
import {
  authentication,
  bundle,
  layer,
  operations,
  provider,
  rule,
  transport,
} from "../support/bundles.ts";

export function attackPolicy(jwks: readonly PublicJwk[]): Bundle {
  return bundle({
    layers: [
      layer({
        policy: { kind: "ClusterApiSecurityPolicy", name: "baseline", generation: 1 },
        tier: "cluster",
        authentication: authentication({
          anonymous: "Allow",
          providers: [
            provider({
              keys: { kind: "known", jwks },
              locations: [
                { in: "header", name: "authorization", prefix: "Bearer" },
                { in: "cookie", name: "session" },
                { in: "query", name: "access_token" },
                { in: "header", name: "x-api-token", prefix: "" },
              ],
              claimsToHeaders: [
                { claim: "sub", header: "x-postern-subject" },
                { claim: "roles", header: "x-postern-roles" },
              ],
            }),
          ],
        }),
      }),
      layer({
        authentication: authentication({
          anonymous: "Allow",
          providers: [
            provider({
              keys: { kind: "known", jwks },
              locations: [
                { in: "header", name: "authorization", prefix: "Bearer" },
                { in: "cookie", name: "session" },
                { in: "query", name: "access_token" },
                { in: "header", name: "x-api-token", prefix: "" },
              ],
            }),
          ],
        }),
        operations: operations([
          rule("GET HEAD POST", "/ping"),
          rule("GET POST", "/public/{name}"),
          rule("GET", "/orders/{id}", { providers: ["corp"], scopes: { all: ["orders:read"] } }),
          rule("POST", "/orders", { providers: ["corp"], scopes: { any: ["orders:write"] } }),
        ]),
      }),
    ],
  });
}

/** Two proxies in front; the company's networks may come in, less one, and so may one of IPv6. */
export function transportPolicy(): Bundle {
  return bundle({
    layers: [
      layer({
        transport: transport({
          clientAddress: { from: "XForwardedFor", trustedHops: 2 },
          ipAccess: {
            allow: { kind: "listed", networks: ["10.0.0.0/8", "2001:db8::/32"] },
            deny: ["10.9.0.0/16"],
          },
        }),
        operations: operations([rule("GET HEAD POST", "/ping")]),
      }),
    ],
  });
}

/** A proxy in front that writes the PROXY header. */
export function proxyHeaderPolicy(): Bundle {
  return bundle({
    layers: [
      layer({
        transport: transport({
          clientAddress: { from: "ProxyProtocol" },
          ipAccess: {
            allow: { kind: "listed", networks: ["10.0.0.0/8", "127.0.0.0/8"] },
            deny: ["10.9.0.0/16"],
          },
        }),
        operations: operations([rule("GET HEAD POST", "/ping")]),
      }),
    ],
  });
}
