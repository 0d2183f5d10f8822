/**
 * A real OpenID provider (oidc-provider, certified) on loopback: discovery, JWKS, and tokens by the client
 * credentials grant as JWTs with scopes and an audience. `rotate()` changes its keys, `down()` and `up()` take
 * it away and bring it back on the same port.
 */
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Provider } from "oidc-provider";

const CLIENT = { id: "caller", secret: "caller-secret" };

export interface TokenRequest {
  readonly scopes: readonly string[];
  /** A URI, as resource indicators (RFC 8707) ask for. */
  readonly audience: string;
}

export interface OpenIdProvider extends AsyncDisposable {
  readonly issuer: string;
  readonly jwksUri: string;
  token(request: TokenRequest): Promise<string>;
  /** New signing keys, the old ones are gone. */
  rotate(): void;
  /** Requests to the JWKS endpoint so far. */
  readonly jwksRequests: number;
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

/** `scopes` are all that there are, for every audience. */
export async function startOpenIdProvider(scopes: readonly string[]): Promise<OpenIdProvider> {
  let handler: RequestListener = (_req, res) => res.writeHead(503).end();
  let jwksRequests = 0;
  let server = await listen((req, res) => handle(req, res), 0);
  const { port } = server.address() as AddressInfo;
  const issuer = `http://127.0.0.1:${port}`;
  const jwksUri = `${issuer}/jwks`;
  const handle: RequestListener = (req, res) => {
    if (req.url === "/jwks") jwksRequests += 1;
    handler(req, res);
  };
  const rotate = (): void => {
    handler = createProvider(issuer, scopes).callback();
  };
  rotate();
  const down = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    issuer,
    jwksUri,
    rotate,
    get jwksRequests() {
      return jwksRequests;
    },
    async token({ scopes: wanted, audience }) {
      const answer = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: {
          authorization: `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString("base64")}`,
          "content-type": "application/x-www-form-urlencoded",
        },
        body: new URLSearchParams({
          grant_type: "client_credentials",
          scope: wanted.join(" "),
          resource: audience,
        }),
      });
      const body = (await answer.json()) as { readonly access_token?: string };
      if (body.access_token === undefined) {
        throw new Error(`The provider gave no token: ${JSON.stringify(body)}`);
      }
      return body.access_token;
    },
    down,
    async up() {
      server = await listen(handle, port);
    },
    close: down,
    [Symbol.asyncDispose]: down,
  };
}

function createProvider(issuer: string, scopes: readonly string[]): Provider {
  return new Provider(issuer, {
    adapter: Nothing,
    ttl: { ClientCredentials: 3_600 },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    jwks: { keys: [signingKey()] },
    scopes,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context: unknown, resource: string) => ({
          scope: scopes.join(" "),
          audience: resource,
          accessTokenFormat: "jwt",
          accessTokenTTL: 3_600,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}

/** Access tokens are JWTs and clients are configured, so there is nothing to store. */
class Nothing {
  async upsert(): Promise<void> {}
  async find(): Promise<undefined> {}
  async findByUid(): Promise<undefined> {}
  async findByUserCode(): Promise<undefined> {}
  async consume(): Promise<void> {}
  async destroy(): Promise<void> {}
  async revokeByGrantId(): Promise<void> {}
}

function signingKey(): Readonly<Record<string, unknown>> {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };
}

async function listen(handler: RequestListener, port: number): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}
