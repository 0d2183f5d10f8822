/**
 * Every refusal that a caller of a protected service can meet: one table, documented in
 * docs/reference/denials.md and tested both ways. A row is stable once released: dashboards, alerts and
 * clients key on the code.
 */

/** How sure we are. "no": policy says no. "could-not-tell": we failed to decide, and therefore refuse. */
export type Certainty = "no" | "could-not-tell";

interface DenialRow {
  /** HTTP status of the answer. */
  readonly status: number;
  /** Public sentence of the answer; never says which check of a credential failed in detail. */
  readonly title: string;
  readonly certainty: Certainty;
  /** `Retry-After` in seconds, where trying again can help. */
  readonly retryAfterSeconds?: number;
  /** What an operator should know: cause and remedy, for the reference page. */
  readonly meaning: string;
}

export const DENIALS = {
  "request.malformed": {
    status: 400,
    title: "The request is malformed",
    certainty: "no",
    meaning:
      "The bytes are not one unambiguous HTTP request (framing, request line, header syntax). The connection is closed.",
  },
  "request.path": {
    status: 400,
    title: "The request path is not in normal form",
    certainty: "no",
    meaning:
      "Dot segments, empty segments, encoded slashes, backslashes, control characters, path parameters or double encoding: two parsers could read different paths.",
  },
  "request.host": {
    status: 400,
    title: "The request host is not valid",
    certainty: "no",
    meaning: "Missing, repeated or malformed Host, a trailing dot, or user information in it.",
  },
  "request.header": {
    status: 400,
    title: "A request header is not acceptable",
    certainty: "no",
    meaning:
      "A header that must be single is repeated, a Connection option names an end-to-end header, or an underscore alias imitates a header that decides something.",
  },
  "request.header-size": {
    status: 431,
    title: "The request headers are too large",
    certainty: "no",
    meaning: "The head of the request exceeds the limit of 32 KiB or 100 lines.",
  },
  "request.method": {
    status: 405,
    title: "The request method is not supported",
    certainty: "no",
    meaning: "CONNECT, TRACE or an unknown method: never forwarded, whatever the policy says.",
  },
  "request.upgrade": {
    status: 501,
    title: "Protocol upgrades are not supported",
    certainty: "no",
    meaning: "An upgraded connection would escape the policy, so the upgrade is refused.",
  },
  "request.expectation": {
    status: 417,
    title: "The expectation cannot be met",
    certainty: "no",
    meaning: "The Expect header asks for something else than `100-continue`.",
  },
  "request.timeout": {
    status: 408,
    title: "The request took too long to arrive",
    certainty: "no",
    meaning:
      "The head of the request was not complete within the deadline, or its body stopped coming while the application waited for it.",
  },
  "transport.misdirected": {
    status: 421,
    title: "The request came over a connection for another host",
    certainty: "no",
    meaning:
      "The TLS connection was made for one name (SNI), and the request's Host is another: what was verified about the connection would not hold for the request.",
  },
  "transport.tls-required": {
    status: 403,
    title: "The connection must be encrypted",
    certainty: "no",
    meaning:
      "A policy with `transport.tls: Strict`, and a request without TLS. If every request is refused so, the sidecar has no certificate: see POSTERN_TLS_CERT_FILE.",
  },
  "transport.tls-refused": {
    status: 403,
    title: "The connection must not be encrypted",
    certainty: "no",
    meaning: "A policy with `transport.tls: Plaintext`, and a request over TLS.",
  },
  "transport.client-address": {
    status: 503,
    title: "The client's address cannot be told",
    certainty: "could-not-tell",
    meaning:
      "X-Forwarded-For is missing, has fewer entries than `trustedHops`, or one of them is not an IP address; or the connection began without a PROXY header, before the policy asked for one.",
  },
  "transport.ip-denied": {
    status: 403,
    title: "The client's address is not permitted",
    certainty: "no",
    meaning: "`transport.ipAccess.deny` has the client's address, or `allow` does not have it.",
  },
  "operation.undeclared": {
    status: 403,
    title: "The operation is not declared",
    certainty: "no",
    meaning:
      "No rule of a policy with `operations.undeclared: Deny` declares this method and path.",
  },
  "authn.missing": {
    status: 401,
    title: "Authentication is required",
    certainty: "no",
    meaning: "No credential at any of the places where the policy's providers look.",
  },
  "authn.malformed": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning: "The token is not a compact JWS, is too large, or has a header that we refuse (crit).",
  },
  "authn.ambiguous": {
    status: 401,
    title: "More than one credential was sent",
    certainty: "no",
    meaning:
      "Several credentials, or the same one at several places: it is not clear whose call it is.",
  },
  "authn.issuer": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning: "The token's `iss` is missing or belongs to none of the providers.",
  },
  "authn.algorithm": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning:
      "The token's `alg` is not in the provider's list (`none` and HMAC never are), or does not fit the key.",
  },
  "authn.key-unknown": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning: "None of the issuer's known keys has the token's `kid`.",
  },
  "authn.signature": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning: "The signature does not verify.",
  },
  "authn.expired": {
    status: 401,
    title: "The credential has expired",
    certainty: "no",
    meaning: "`exp` has passed (clock skew included).",
  },
  "authn.not-yet-valid": {
    status: 401,
    title: "The credential is not valid yet",
    certainty: "no",
    meaning: "`nbf` lies in the future (clock skew included).",
  },
  "authn.audience": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning: "`aud` is missing or names none of the provider's audiences.",
  },
  "authn.claims": {
    status: 401,
    title: "The credential is not valid",
    certainty: "no",
    meaning: "A required claim is missing or of the wrong type (`exp` always is required).",
  },
  "authn.keys-unavailable": {
    status: 503,
    title: "The credential cannot be verified at present",
    certainty: "could-not-tell",
    retryAfterSeconds: 5,
    meaning:
      "The controller has no usable keys for this issuer: its JWKS is unreachable, invalid or too old. The policy's status says why.",
  },
  "authz.provider": {
    status: 403,
    title: "The caller is not permitted",
    certainty: "no",
    meaning: "The rule asks for another provider than the one by which the caller authenticated.",
  },
  "authz.scope": {
    status: 403,
    title: "The scope is insufficient",
    certainty: "no",
    meaning: "The token lacks scopes that the rule asks for.",
  },
  "policy.none": {
    status: 503,
    title: "The service is not available",
    certainty: "no",
    meaning: "No policy selects this workload, so everything is refused.",
  },
  "policy.waiting": {
    status: 503,
    title: "The service is not ready",
    certainty: "could-not-tell",
    retryAfterSeconds: 1,
    meaning: "The sidecar has not received a verified policy yet.",
  },
  "policy.stale": {
    status: 503,
    title: "The service is not available",
    certainty: "could-not-tell",
    retryAfterSeconds: 5,
    meaning: "The last verified policy is older than the permitted staleness.",
  },
  "policy.invalid": {
    status: 503,
    title: "The service is not available",
    certainty: "could-not-tell",
    meaning:
      "A policy of this workload is invalid and closes what it covers; its status names the field.",
  },
  "check.failed": {
    status: 500,
    title: "The request could not be checked",
    certainty: "could-not-tell",
    meaning:
      "A check failed unexpectedly. Look for the `check.failed` error in the log; report it.",
  },
  "upstream.refused": {
    status: 502,
    title: "The service did not accept the connection",
    certainty: "could-not-tell",
    retryAfterSeconds: 1,
    meaning: "The application does not listen on its port.",
  },
  "upstream.reset": {
    status: 502,
    title: "The service closed the connection",
    certainty: "could-not-tell",
    meaning: "The application closed the connection before it had answered.",
  },
  "upstream.malformed": {
    status: 502,
    title: "The service gave an invalid answer",
    certainty: "could-not-tell",
    meaning: "The application's answer is not one unambiguous HTTP response.",
  },
  "upstream.busy": {
    status: 503,
    title: "The service has no room for the request at present",
    certainty: "could-not-tell",
    retryAfterSeconds: 1,
    meaning:
      "All connections that the application may have are in use, and none came free in time; or the machine has no room for one more.",
  },
  "upstream.timeout": {
    status: 504,
    title: "The service did not answer in time",
    certainty: "could-not-tell",
    meaning: "No response head within the deadline.",
  },
  "sidecar.draining": {
    status: 503,
    title: "The service is shutting down",
    certainty: "no",
    retryAfterSeconds: 1,
    meaning: "The pod is terminating and takes no new requests.",
  },
} as const satisfies Record<string, DenialRow>;

export type DenialCode = keyof typeof DENIALS;

/** The value that says no. `detail` is for operators: logs and records, never the answer. */
export interface Denial {
  readonly code: DenialCode;
  readonly detail: string;
}

export function deny(code: DenialCode, detail: string): Denial {
  return { code, detail };
}
