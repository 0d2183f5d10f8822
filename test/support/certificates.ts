/** Certificates as tests need them: CAs and leaves, in memory, issued when they are asked for. */
import type { webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

export interface Issued {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Issued {
  issue(options?: LeafOptions): Promise<Issued>;
}

export interface LeafOptions {
  readonly dns?: readonly string[];
  readonly uris?: readonly string[];
  readonly usage?: "client" | "server";
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly commonName?: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HOUR_MS = 3_600_000;
const USAGES = {
  client: x509.ExtendedKeyUsage.clientAuth,
  server: x509.ExtendedKeyUsage.serverAuth,
};

let serial = 1;

export async function authority(name = "Test CA"): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: `CN=${name}`,
    ...times({}),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    cert: ca.toString("pem"),
    key: await keyPem(keys.privateKey),
    issue: async (options = {}) => {
      const leafKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const names: x509.JsonGeneralName[] = [
        ...(options.dns ?? []).map((value) => ({ type: "dns" as const, value })),
        ...(options.uris ?? []).map((value) => ({ type: "url" as const, value })),
      ];
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: nextSerial(),
        subject: `CN=${options.commonName ?? "leaf"}`,
        issuer: ca.subject,
        ...times(options),
        signingKey: keys.privateKey,
        publicKey: leafKeys.publicKey,
        signingAlgorithm: ALGORITHM,
        extensions: [
          new x509.BasicConstraintsExtension(false),
          new x509.ExtendedKeyUsageExtension([USAGES[options.usage ?? "server"]]),
          ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        ],
      });
      return { cert: leaf.toString("pem"), key: await keyPem(leafKeys.privateKey) };
    },
  };
}

function times({ notBefore, notAfter }: LeafOptions): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: notBefore ?? new Date(Date.now() - HOUR_MS),
    notAfter: notAfter ?? new Date(Date.now() + HOUR_MS),
  };
}

function nextSerial(): string {
  serial += 1;
  return serial.toString(16).padStart(4, "0");
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}
