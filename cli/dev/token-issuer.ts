/**
 * An issuer of tokens on loopback, for trying policies: OpenID Connect discovery, a JWKS, and `/token` that signs
 * whatever it is asked for. Its key is made anew at every start and trusted only by the sample policy.
 */
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { type LoopbackServer, serveOnLoopback } from "./loopback-server.ts";

export interface TokenIssuer extends LoopbackServer {
  /** What tokens have as `iss`. */
  readonly issuer: string;
  token(claims: TokenClaims): Promise<string>;
}

export interface TokenClaims {
  readonly scope?: string;
  readonly audience?: string;
  readonly subject?: string;
}

const KEY_ID = "dev-1";
const LIFETIME = "8h";

export async function startTokenIssuer(wishedPort: number): Promise<TokenIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(publicKey)), kid: KEY_ID, alg: "ES256", use: "sig" };
  const token = ({ scope, audience = "orders", subject = "alice" }: TokenClaims) =>
    new SignJWT(scope === undefined ? {} : { scope })
      .setProtectedHeader({ alg: "ES256", kid: KEY_ID, typ: "JWT" })
      .setIssuer(server.url)
      .setAudience(audience)
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime(LIFETIME)
      .sign(privateKey);

  const server = await serveOnLoopback(wishedPort, (request, response) => {
    request.resume();
    const url = new URL(request.url ?? "/", "http://localhost");
    const json = (value: unknown): void => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        json({ issuer: server.url, jwks_uri: `${server.url}/jwks` });
        break;
      case "/jwks":
        json({ keys: [jwk] });
        break;
      case "/token":
        void token(claimsOf(url.searchParams)).then((text) => {
          response.writeHead(200, { "content-type": "text/plain" });
          response.end(text);
        });
        break;
      default:
        response.writeHead(404).end();
    }
  });
  return { ...server, issuer: server.url, token };
}

function claimsOf(query: URLSearchParams): TokenClaims {
  const scope = query.get("scope");
  return {
    ...(scope !== null && { scope }),
    audience: query.get("audience") ?? "orders",
    subject: query.get("subject") ?? "alice",
  };
}
