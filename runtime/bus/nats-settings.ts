/** How a process is told to reach NATS: the same rows for every process, so that one page of docs serves both. */
import { filePath, urlList } from "../parsers.ts";
import { optional, required, setting } from "../settings.ts";
import type { ConfigOf } from "../settings.ts";
import type { NatsCredentials, NatsTls } from "./nats-options.ts";

export const NATS_SETTINGS = {
  natsServers: setting(
    "POSTERN_NATS_URL",
    urlList("nats", "tls"),
    required,
    "Servers of the bus, joined by commas, as nats://postern-nats:4222.",
  ),
  natsCredentialsFile: setting(
    "POSTERN_NATS_CREDENTIALS_FILE",
    filePath,
    optional,
    "NATS credentials as nsc writes them; read again at each connect.",
  ),
  natsTokenFile: setting(
    "POSTERN_NATS_TOKEN_FILE",
    filePath,
    optional,
    "A token for NATS, such as a projected ServiceAccount token; read again at each connect.",
  ),
  natsCaFile: setting(
    "POSTERN_NATS_CA_FILE",
    filePath,
    optional,
    "Certificates by which the bus is believed, in PEM.",
  ),
  natsCertFile: setting(
    "POSTERN_NATS_CERT_FILE",
    filePath,
    optional,
    "Our certificate for the bus, in PEM; together with POSTERN_NATS_KEY_FILE.",
  ),
  natsKeyFile: setting("POSTERN_NATS_KEY_FILE", filePath, optional, "The key of that certificate."),
} as const;

type Settings = ConfigOf<typeof NATS_SETTINGS>;

/** What the rows cannot say one by one. */
export function natsProblems(settings: Settings): string[] {
  const problems: string[] = [];
  if (settings.natsCredentialsFile !== undefined && settings.natsTokenFile !== undefined) {
    problems.push("POSTERN_NATS_CREDENTIALS_FILE, POSTERN_NATS_TOKEN_FILE: only one can be used");
  }
  if ((settings.natsCertFile === undefined) !== (settings.natsKeyFile === undefined)) {
    problems.push("POSTERN_NATS_CERT_FILE, POSTERN_NATS_KEY_FILE: both are required, or none");
  }
  return problems;
}

export interface NatsAccess {
  readonly natsCredentials: NatsCredentials | undefined;
  readonly natsTls: NatsTls | undefined;
}

export function natsAccess(settings: Settings): NatsAccess {
  return { natsCredentials: credentialsOf(settings), natsTls: tlsOf(settings) };
}

function credentialsOf(settings: Settings): NatsCredentials | undefined {
  const { natsCredentialsFile, natsTokenFile } = settings;
  if (natsCredentialsFile !== undefined) return { kind: "creds-file", path: natsCredentialsFile };
  if (natsTokenFile !== undefined) return { kind: "token-file", path: natsTokenFile };
  return undefined;
}

function tlsOf({ natsCaFile, natsCertFile, natsKeyFile }: Settings): NatsTls | undefined {
  if (natsCaFile === undefined && natsCertFile === undefined) return undefined;
  return {
    ...(natsCaFile === undefined ? {} : { caFile: natsCaFile }),
    ...(natsCertFile === undefined ? {} : { certFile: natsCertFile }),
    ...(natsKeyFile === undefined ? {} : { keyFile: natsKeyFile }),
  };
}
