/** What all micro-benchmarks are about: one ordinary request, its token, and a policy of so many operations. */
import { PassThrough } from "node:stream";
import type { Rule } from "../../policy/bundle.ts";
import type { Exchange, Reply } from "../../sidecar/exchange.ts";
import type { RawRequest } from "../../sidecar/normal-form/request.ts";
import { readRequest } from "../../sidecar/normal-form/request.ts";
import type { Prepared } from "../../sidecar/prepared.ts";
import { prepare } from "../../sidecar/prepared.ts";
import {
  authentication,
  bundle,
  layer,
  operations,
  provider,
  rule,
} from "../../test/support/bundles.ts";
import { claims, rsaKey, token } from "../../test/support/tokens.ts";

export const NOW = Date.now();
export const clock = { now: () => NOW };
const key = rsaKey("one");
export const TOKEN = token(
  key,
  claims(NOW, { scope: "orders:read orders:write", email: "alice@example.com", roles: ["user"] }),
);

export const RAW: RawRequest = {
  method: "GET",
  target: "/orders/12345?expand=items",
  version: "1.1",
  headers: [
    ["Host", "orders.shop.svc:8080"],
    ["User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"],
    ["Accept", "application/json"],
    ["Accept-Encoding", "gzip, deflate, br"],
    ["Authorization", `Bearer ${TOKEN}`],
    ["X-Request-Id", "0d7f9b0e-6a54-4b8e-9d3b-7b9f3d1c2a11"],
    ["Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
  ].flat(),
};

export function rules(count: number): Rule[] {
  const called = rule("GET", "/orders/{id}", { scopes: { all: ["orders:read"] } });
  const others = Array.from({ length: count - 1 }, (_, index) =>
    rule("GET", `/${index % 2 === 0 ? "a" : "z"}-things-${index}/{id}/parts/{part}`),
  );
  return [...others.slice(0, count / 2), called, ...others.slice(count / 2)];
}

export function policy(count: number): Promise<Prepared> {
  const corp = provider({
    keys: { kind: "known", jwks: [key.jwk] },
    claimsToHeaders: [{ claim: "sub", header: "x-user" }],
  });
  return prepare(
    bundle({
      layers: [
        layer({
          authentication: authentication({ providers: [corp] }),
          operations: operations(rules(count)),
        }),
      ],
    }),
  );
}

export function exchangeFor(prepared: Prepared): Exchange {
  const request = readRequest(RAW, prepared.guards);
  if ("code" in request) throw new TypeError(request.detail);
  return {
    ...request,
    id: "0d7f9b0e-6a54-4b8e-9d3b-7b9f3d1c2a11",
    receivedAtMs: NOW,
    client: { address: "127.0.0.1", port: 4242 },
    body: new PassThrough(),
    reply: NO_REPLY,
  };
}

const NO_REPLY: Reply = {
  begun: false,
  status: 0,
  body: new PassThrough(),
  proceed: () => undefined,
  head: () => undefined,
  trailers: () => undefined,
  answer: () => undefined,
  cut: () => undefined,
  onClosed: () => undefined,
};
