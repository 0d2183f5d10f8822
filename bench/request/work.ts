/** What is asked: whole requests as they go over the wire, and the answer that must come. */
import { generateKeyPairSync } from "node:crypto";
import { SignJWT } from "jose";

export interface Work {
  readonly name: string;
  readonly requests: readonly Buffer[];
  readonly status: number;
  readonly connections: number;
  /** Only meant for proxies that verify tokens: to the others it is the same as the first work. */
  readonly needsIdentity: boolean;
  readonly aboutTokens: boolean;
}

export interface Identity {
  readonly issuer: string;
  readonly audience: string;
  readonly scope: string;
  readonly publicPem: string;
  readonly publicJwk: object;
  /** All different, all valid. */
  readonly tokens: readonly string[];
}

export const TOKENS = 1_000;
const CONNECTIONS = 32;

export async function createIdentity(): Promise<Identity> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const issuer = "https://id.example.com";
  const audience = "orders";
  const scope = "orders:read";
  const tokens: string[] = [];
  for (let index = 0; index < TOKENS; index += 1) {
    tokens.push(
      await new SignJWT({ scope, sub: `user-${index}` })
        .setProtectedHeader({ alg: "RS256", kid: "one" })
        .setIssuer(issuer)
        .setAudience(audience)
        .setExpirationTime("2h")
        .sign(privateKey),
    );
  }
  return {
    issuer,
    audience,
    scope,
    publicPem: publicKey.export({ format: "pem", type: "spki" }).toString(),
    publicJwk: { ...publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" },
    tokens,
  };
}

export interface Works {
  readonly get: Work;
  readonly all: readonly Work[];
  /** GET with so many header fields. */
  headers(count: number): Work;
  post(size: number, connections?: number): Work;
  /** GET of an answer with so many KiB. */
  download(kib: number): Work;
  connections(count: number): Work;
  path(path: string, name: string): Work;
}

export function createWorks({ tokens }: Identity): Works {
  const token = tokens[0] ?? "";
  const plain = { status: 200, connections: CONNECTIONS, needsIdentity: false, aboutTokens: false };
  const get: Work = {
    ...plain,
    aboutTokens: true,
    name: "GET, JWT RS256, the same token",
    requests: [request({ token })],
  };
  const headers = (count: number): Work => ({
    ...plain,
    name: `GET, ${count} header fields`,
    requests: [request({ token, fields: count })],
  });
  const post = (size: number, connections = 8): Work => ({
    ...plain,
    name: `POST ${sizeName(size)}`,
    connections,
    requests: [request({ token, body: size })],
  });
  return {
    get,
    headers,
    post,
    all: [
      get,
      {
        ...plain,
        name: `GET, JWT RS256, ${TOKENS} tokens in turn`,
        requests: tokens.map((one) => request({ token: one })),
        needsIdentity: true,
        aboutTokens: true,
      },
      {
        ...plain,
        name: "GET without a token, refused",
        requests: [request({})],
        status: 401,
        needsIdentity: true,
        aboutTokens: true,
      },
      headers(20),
      post(1_024, CONNECTIONS),
      post(65_536),
      post(1_048_576),
    ],
    download: (kib) => ({
      ...plain,
      name: `GET, answer of ${sizeName(kib * 1_024)}`,
      requests: [request({ token, path: `/orders/answer-${kib}k` })],
      connections: 8,
    }),
    connections: (count) => ({ ...get, name: `${count} connections`, connections: count }),
    path: (path, name) => ({ ...get, name, requests: [request({ token, path })] }),
  };
}

function request(what: {
  readonly token?: string;
  readonly path?: string;
  /** Header fields in all. */
  readonly fields?: number;
  readonly body?: number;
}): Buffer {
  const head = [
    what.body === undefined
      ? `GET ${what.path ?? "/orders/1"} HTTP/1.1`
      : "POST /orders/upload HTTP/1.1",
    "Host: orders.shop.svc",
    "Accept: application/json",
    "User-Agent: bench",
    ...(what.token === undefined ? [] : [`Authorization: Bearer ${what.token}`]),
    ...(what.body === undefined
      ? []
      : ["Content-Type: application/octet-stream", `Content-Length: ${what.body}`]),
  ];
  for (let index = head.length - 1; index < (what.fields ?? 0); index += 1) {
    head.push(`X-Field-${index}: a value of usual length ${index}`);
  }
  const body = Buffer.alloc(what.body ?? 0, "a body that says nothing. ");
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]);
}

function sizeName(bytes: number): string {
  return bytes < 1_048_576 ? `${bytes / 1_024} KB` : `${bytes / 1_048_576} MB`;
}
