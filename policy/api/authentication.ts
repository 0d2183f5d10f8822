/** `spec.authentication`: who is calling. A caller must satisfy one of the providers. */
import { SIGNATURE_ALGORITHMS } from "../bundle.ts";
import {
  defaulted,
  described,
  listMap,
  listOf,
  listSet,
  object,
  oneOf,
  optional,
  ruled,
  string,
} from "../schema/schema.ts";
import type { Infer } from "../schema/schema.ts";
import { keyRef, localName, sectionMode } from "./common.ts";

/**
 * Keys decide who gets in, so they come over TLS; plain http only from this machine itself. The host cannot
 * contain "@" (no credentials in URLs). RE2 and JavaScript read this expression alike.
 */
const KEY_URL =
  '^(https://([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])|http://(localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\]))(:[0-9]{1,5})?(/[!-"$-\\[\\]-~]*)?$';
const KEY_URL_MESSAGE =
  "must be an https URL without user information or fragment (http is accepted on loopback only)";
const keyUrl = new RegExp(KEY_URL);

const TOKEN = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
/** No underscore: many servers read `x_user` and `x-user` as one header, and so could callers forge it. */
const HEADER_WITHOUT_ALIAS = "^[A-Za-z0-9][A-Za-z0-9-]*$";

/** Headers that frame the message, route it, or carry somebody else's identity: never written from a claim. */
export const RESERVED_HEADERS = [
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "expect",
  "forwarded",
  "host",
  "http2-settings",
  "keep-alive",
  "max-forwards",
  "origin",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "range",
  "referer",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
  "x-http-method-override",
  "x-original-url",
  "x-real-ip",
  "x-rewrite-url",
] as const;
const reserved: ReadonlySet<string> = new Set(RESERVED_HEADERS);

const jwks = ruled(
  object({
    uri: optional(
      described(
        "URL of a JSON Web Key Set. The controller fetches it, sidecars do not.",
        ruled(string({ minLength: 1, maxLength: 1024 }), [
          {
            cel: `self.matches(${celString(KEY_URL)})`,
            message: `jwks.uri ${KEY_URL_MESSAGE}`,
            holds: (uri) => keyUrl.test(uri),
          },
        ]),
      ),
    ),
    discovery: optional(
      described(
        "Write `discovery: {}` to find the keys through the issuer's OpenID Connect discovery document.",
        object({}),
      ),
    ),
    inline: optional(
      described(
        "The JSON Web Key Set itself, as a string of JSON. Public keys only.",
        ruled(string({ minLength: 1, maxLength: 65_536 }), [
          {
            cel: `!self.matches('"(d|k)"[ \\\\t\\\\r\\\\n]*:')`,
            message: "jwks.inline must hold public keys only: it has a private or symmetric key",
            holds: (inline) => !/"(d|k)"[ \t\r\n]*:/.test(inline),
          },
          {
            cel: "self.contains('\"keys\"')",
            message: 'jwks.inline must be a JSON object with a list "keys"',
            holds: (inline) => inline.includes('"keys"'),
          },
        ]),
      ),
    ),
    secretRef: optional(described("A Secret that holds the JSON Web Key Set.", keyRef)),
    configMapRef: optional(described("A ConfigMap that holds the JSON Web Key Set.", keyRef)),
  }),
  [
    {
      cel: "[has(self.uri), has(self.discovery), has(self.inline), has(self.secretRef), has(self.configMapRef)].filter(x, x).size() == 1",
      message:
        "exactly one of jwks.uri, jwks.discovery, jwks.inline, jwks.secretRef and jwks.configMapRef is required",
      holds: ({ uri, discovery, inline, secretRef, configMapRef }) =>
        [uri, discovery, inline, secretRef, configMapRef].filter((x) => x !== undefined).length ===
        1,
    },
  ],
);

const location = ruled(
  object({
    header: optional(
      described(
        "Name of a request header.",
        string({ minLength: 1, maxLength: 64, pattern: HEADER_WITHOUT_ALIAS }),
      ),
    ),
    prefix: optional(
      described(
        "Scheme in front of the token, compared without regard to case and followed by a space. Absent: the header's whole value is the token.",
        string({ minLength: 1, maxLength: 32, pattern: TOKEN }),
      ),
    ),
    cookie: optional(
      described("Name of a cookie.", string({ minLength: 1, maxLength: 64, pattern: TOKEN })),
    ),
    query: optional(
      described(
        "Name of a query parameter.",
        string({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9._~-]+$" }),
      ),
    ),
  }),
  [
    {
      cel: "[has(self.header), has(self.cookie), has(self.query)].filter(x, x).size() == 1",
      message: "exactly one of header, cookie and query is required in locations",
      holds: ({ header, cookie, query }) =>
        [header, cookie, query].filter((x) => x !== undefined).length === 1,
    },
    {
      cel: "!has(self.prefix) || has(self.header)",
      message: "prefix is only possible together with header",
      fieldPath: ".prefix",
      holds: ({ header, prefix }) => prefix === undefined || header !== undefined,
    },
  ],
);

const claimToHeader = object({
  claim: described(
    "Name of a top-level claim of the token.",
    string({ minLength: 1, maxLength: 128 }),
  ),
  header: described(
    "Header that the application receives. What a caller sends under this name is removed.",
    ruled(string({ minLength: 1, maxLength: 64, pattern: HEADER_WITHOUT_ALIAS }), [
      {
        cel: `!(self.lowerAscii() in [${RESERVED_HEADERS.map((name) => `'${name}'`).join(", ")}])`,
        message:
          "header must not be one that frames, routes or authenticates the request (like host, authorization, cookie, content-length)",
        holds: (name) => !reserved.has(name.toLowerCase()),
      },
      {
        cel: "!self.lowerAscii().startsWith('x-forwarded-')",
        message: "header must not start with x-forwarded-",
        holds: (name) => !name.toLowerCase().startsWith("x-forwarded-"),
      },
    ]),
  ),
});

const jwt = ruled(
  object({
    issuer: described(
      "Compared byte for byte with the token's `iss`.",
      string({ minLength: 1, maxLength: 512 }),
    ),
    audiences: optional(
      described(
        "One of these must be in the token's `aud`. Absent: `aud` is not asked for.",
        listSet(string({ minLength: 1, maxLength: 256 }), { minItems: 1, maxItems: 16 }),
      ),
    ),
    algorithms: defaulted(
      described(
        "Signature algorithms that are accepted. `none` and HMAC never are.",
        listSet(oneOf(SIGNATURE_ALGORITHMS), {
          minItems: 1,
          maxItems: SIGNATURE_ALGORITHMS.length,
        }),
      ),
      ["RS256", "PS256", "ES256", "EdDSA"],
    ),
    jwks: described("Where the issuer's public keys come from: exactly one of the fields.", jwks),
    locations: defaulted(
      described(
        "Where the token may be. More than one token in a request is refused.",
        ruled(listOf(location, { minItems: 1, maxItems: 4 }), [
          {
            cel: "self.all(a, self.exists_one(b, a == b))",
            message: "locations must not name one place twice",
            holds: (all) => new Set(all.map(placeOf)).size === all.length,
          },
        ]),
      ),
      [{ header: "Authorization", prefix: "Bearer" }],
    ),
    clockSkew: defaulted(
      described(
        "How far the issuer's clock may differ, like `30s` or `1m30s`; at most 5m.",
        ruled(string({ minLength: 2, maxLength: 10, pattern: "^([0-9]{1,4}(m|s)){1,2}$" }), [
          {
            cel: "duration(self) <= duration('5m')",
            message: "clockSkew must be at most 5m",
            holds: (text) => durationSeconds(text) <= 300,
          },
        ]),
      ),
      "30s",
    ),
    claimsToHeaders: optional(
      described(
        "Claims that the application receives as headers.",
        ruled(listMap("header", claimToHeader, { maxItems: 16 }), [
          {
            cel: "self.all(a, self.exists_one(b, a.header.lowerAscii() == b.header.lowerAscii()))",
            message: "claimsToHeaders must not name one header twice (case does not matter)",
            holds: (all) => new Set(all.map((x) => x.header.toLowerCase())).size === all.length,
          },
        ]),
      ),
    ),
  }),
  [
    {
      cel: `!has(self.jwks.discovery) || self.issuer.matches(${celString(KEY_URL)})`,
      message: `with jwks.discovery, issuer ${KEY_URL_MESSAGE}`,
      fieldPath: ".issuer",
      holds: ({ issuer, jwks }) => jwks.discovery === undefined || keyUrl.test(issuer),
    },
  ],
);

const provider = object({
  name: described("By which rules refer to it.", localName),
  jwt: described("JSON Web Tokens (RFC 7519), signed by the issuer.", jwt),
});
export type ProviderSpec = Infer<typeof provider>;

export const authentication = object({
  mode: optional(sectionMode),
  anonymous: defaulted(
    described(
      "Whether a request without a credential passes this section. A wrong credential never does.",
      oneOf(["Deny", "Allow"]),
    ),
    "Deny",
  ),
  providers: described(
    "A caller must satisfy one of them; an empty list, written out, means that nobody can authenticate.",
    listMap("name", provider, { maxItems: 16 }),
  ),
});
export type AuthenticationSpec = Infer<typeof authentication>;

/** The pattern has been checked: minutes and seconds, in any order, added up. */
export function durationSeconds(text: string): number {
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+)(m|s)/g)) {
    seconds += Number(amount) * (unit === "m" ? 60 : 1);
  }
  return seconds;
}

function placeOf({ header, prefix, cookie, query }: Infer<typeof location>): string {
  return JSON.stringify([header, prefix, cookie, query]);
}

function celString(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
