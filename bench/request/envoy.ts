/** Envoy's settings: signature, issuer, audience and expiry by `jwt_authn`; path, method and scope by `rbac`. */
import type { Identity } from "./work.ts";

const TYPES = "type.googleapis.com/envoy.extensions";

export function envoyConfig(site: {
  readonly port: number;
  readonly upstreamPort: number;
  readonly identity: Identity;
  /** Envoy's own memory of verified tokens, which it does not have unless asked. */
  readonly cache: boolean;
}): object {
  return {
    static_resources: {
      listeners: [
        {
          name: "front",
          address: address(site.port),
          tcp_backlog_size: 4_096,
          filter_chains: [{ filters: [connectionManager(site)] }],
        },
      ],
      clusters: [
        {
          name: "application",
          type: "STATIC",
          connect_timeout: "5s",
          circuit_breakers: {
            thresholds: [
              { max_connections: 20_000, max_pending_requests: 20_000, max_requests: 20_000 },
            ],
          },
          load_assignment: {
            cluster_name: "application",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(site.upstreamPort) } }] }],
          },
        },
      ],
    },
  };
}

function connectionManager(site: Parameters<typeof envoyConfig>[0]): object {
  const { issuer, audience, publicJwk } = site.identity;
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: "front",
      route_config: {
        virtual_hosts: [
          {
            name: "all",
            domains: ["*"],
            routes: [{ match: { prefix: "/" }, route: { cluster: "application", timeout: "0s" } }],
          },
        ],
      },
      http_filters: [
        filter("jwt_authn", "JwtAuthentication", {
          providers: {
            corp: {
              issuer,
              audiences: [audience],
              local_jwks: { inline_string: JSON.stringify({ keys: [publicJwk] }) },
              require_expiration: true,
              payload_in_metadata: "jwt",
              normalize_payload_in_metadata: { space_delimited_claims: ["scope"] },
              ...(site.cache && { jwt_cache_config: { jwt_cache_size: 1_000 } }),
            },
          },
          rules: [{ match: { prefix: "/" }, requires: { provider_name: "corp" } }],
        }),
        filter("rbac", "RBAC", { rules: { action: "ALLOW", policies: { orders: policy(site) } } }),
        filter("router", "Router", {}),
      ],
    },
  };
}

function policy({ identity }: Parameters<typeof envoyConfig>[0]): object {
  return {
    permissions: [
      {
        and_rules: {
          rules: [
            { url_path: { path: { prefix: "/orders/" } } },
            { header: { name: ":method", string_match: { safe_regex: { regex: "GET|POST" } } } },
          ],
        },
      },
    ],
    principals: [
      {
        metadata: {
          filter: "envoy.filters.http.jwt_authn",
          path: [{ key: "jwt" }, { key: "scope" }],
          value: { list_match: { one_of: { string_match: { exact: identity.scope } } } },
        },
      },
    ],
  };
}

function filter(name: string, message: string, settings: object): object {
  return {
    name: `envoy.filters.http.${name}`,
    typed_config: { "@type": `${TYPES}.filters.http.${name}.v3.${message}`, ...settings },
  };
}

function address(port: number): object {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
