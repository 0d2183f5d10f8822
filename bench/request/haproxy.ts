/** HAProxy's settings: one thread, and for tokens what its own documentation of `jwt_verify` shows, with issuer and expiry. */
export function haproxyConfig(site: {
  readonly port: number;
  readonly upstreamPort: number;
  readonly issuer?: string;
  readonly keyFile?: string;
}): string {
  return `
global
  nbthread 1
  maxconn 1000
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend front
  bind 127.0.0.1:${site.port} backlog 4096
${site.issuer === undefined ? "" : checks(site.issuer, site.keyFile ?? "")}
  default_backend back
backend back
  server application 127.0.0.1:${site.upstreamPort} pool-max-conn 128
`;
}

function checks(issuer: string, keyFile: string): string {
  return `
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.iss) -m str ${issuer} }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${keyFile}") 1 }
`;
}
