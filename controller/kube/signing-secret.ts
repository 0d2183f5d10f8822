/**
 * The signing key lives in a Secret, made by whichever controller comes first; its public half in a ConfigMap,
 * from where it reaches the sidecars through Kubernetes and never through the bus.
 */
import type { Log } from "../../runtime/log.ts";
import { createSigner, generateSigningJwk, readSigningJwk } from "../sign.ts";
import type { Signer } from "../sign.ts";
import { hasStatus } from "./client.ts";
import type { KubeClient } from "./client.ts";

export const SIGNING_SECRET = "postern-bundle-signing";
export const PUBLIC_KEYS_CONFIG_MAP = "postern-bundle-keys";
export const PRIVATE_KEY_ENTRY = "private.jwk";
export const PUBLIC_KEYS_ENTRY = "jwks.json";

const MANAGED = { "app.kubernetes.io/part-of": "postern" };

export async function ensureSigner(
  client: KubeClient,
  namespace: string,
  log: Log,
  signal: AbortSignal,
): Promise<Signer> {
  const signer = createSigner(await ensurePrivateKey(client, namespace, log, signal));
  await publishPublicKeys(client, namespace, signer, signal);
  return signer;
}

async function ensurePrivateKey(
  client: KubeClient,
  namespace: string,
  log: Log,
  signal: AbortSignal,
): Promise<ReturnType<typeof readSigningJwk>> {
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  const existing = await getSecret(client, `${path}/${SIGNING_SECRET}`, signal);
  if (existing !== undefined) return existing;
  const jwk = generateSigningJwk();
  try {
    await client.send({
      method: "POST",
      path,
      body: {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: SIGNING_SECRET, namespace, labels: MANAGED },
        type: "Opaque",
        data: { [PRIVATE_KEY_ENTRY]: Buffer.from(JSON.stringify(jwk)).toString("base64") },
      },
      signal,
    });
    log.info("Made the key that bundles are signed with", { namespace, secret: SIGNING_SECRET });
    return jwk;
  } catch (error) {
    // Another controller was faster: its key is the key.
    if (!hasStatus(error, 409)) throw error;
    const theirs = await getSecret(client, `${path}/${SIGNING_SECRET}`, signal);
    if (theirs === undefined) throw error;
    return theirs;
  }
}

async function getSecret(
  client: KubeClient,
  path: string,
  signal: AbortSignal,
): Promise<ReturnType<typeof readSigningJwk> | undefined> {
  try {
    const secret = await client.send<{ readonly data?: Readonly<Record<string, string>> }>({
      method: "GET",
      path,
      signal,
    });
    const encoded = secret.data?.[PRIVATE_KEY_ENTRY] ?? "";
    return readSigningJwk(parse(Buffer.from(encoded, "base64").toString("utf8")));
  } catch (error) {
    if (hasStatus(error, 404)) return undefined;
    throw error;
  }
}

async function publishPublicKeys(
  client: KubeClient,
  namespace: string,
  signer: Signer,
  signal: AbortSignal,
): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const body = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: PUBLIC_KEYS_CONFIG_MAP, namespace, labels: MANAGED },
    data: { [PUBLIC_KEYS_ENTRY]: JSON.stringify(signer.publicJwks) },
  };
  try {
    await client.send({ method: "POST", path, body, signal });
  } catch (error) {
    if (!hasStatus(error, 409)) throw error;
    await client.send({
      method: "PATCH",
      path: `${path}/${PUBLIC_KEYS_CONFIG_MAP}`,
      contentType: "application/merge-patch+json",
      body: { data: body.data },
      signal,
    });
  }
}

/** Unparsable counts as no key: the sentence of `readSigningJwk()` then says what is required, and quotes nothing. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
