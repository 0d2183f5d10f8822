/** The policy that our sidecar enforces while it is measured: a JWT provider, scopes, and as many operations as wanted. */
import type { OrdersSpec } from "../support/bundle.ts";
import type { Identity } from "./work.ts";

/** Operations that nobody calls stand before and behind those that are called; `variant` makes two policies differ. */
export function orderPolicy(identity: Identity, operations: number, variant = 1): OrdersSpec {
  const called = [
    {
      name: "orders",
      methods: ["GET"],
      path: "/orders/{id}",
      scopes: { all: [identity.scope] },
    },
    ...(operations === 1
      ? []
      : [
          {
            name: "upload",
            methods: ["POST"],
            path: "/orders/upload",
            scopes: { all: [identity.scope] },
          },
        ]),
  ];
  const others = Array.from({ length: Math.max(0, operations - called.length) }, (_, index) => ({
    name: `rule-${index}`,
    methods: ["GET"],
    path: `/${index % 2 === 0 ? "a" : "z"}-things-${index}/{id}/parts/{part}`,
    scopes: { all: [`things-${variant}:read`] },
  }));
  return {
    authentication: {
      providers: [
        {
          name: "corp",
          jwt: {
            issuer: identity.issuer,
            audiences: [identity.audience],
            jwks: { inline: JSON.stringify({ keys: [identity.publicJwk] }) },
          },
        },
      ],
    },
    operations: {
      rules: [...others.slice(0, others.length / 2), ...called, ...others.slice(others.length / 2)],
    },
  };
}
