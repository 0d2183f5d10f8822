/** The settings of the controller's process. Policy is never configured here: it is what policies say. */
import type { NatsCredentials, NatsTls } from "../runtime/bus/nats-options.ts";
import { address, durationMs, filePath, labelName, oneOf, urlList } from "../runtime/parsers.ts";
import { SettingProblem } from "../runtime/settings.ts";
import { optional, readSettings, required, setting, settingsInvalid } from "../runtime/settings.ts";
import type { ConfigOf, Environment } from "../runtime/settings.ts";

export const SETTINGS = {
  namespace: setting(
    "POSTERN_NAMESPACE",
    labelName,
    required,
    "The controller's own namespace: the signing key and its public half live there.",
  ),
  kubeconfig: setting(
    "POSTERN_KUBECONFIG",
    filePath,
    optional,
    "A kubeconfig file; without one, the pod's ServiceAccount.",
  ),
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
    "A token for NATS; read again at each connect.",
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
  natsReplicas: setting(
    "POSTERN_NATS_REPLICAS",
    replicas,
    "1",
    "Copies of each bundle among the NATS servers: 1, 3 or 5; 3 survives the loss of one server.",
  ),
  admin: setting(
    "POSTERN_ADMIN_LISTEN",
    address,
    ":15022",
    "Probes and metrics; every interface, since the kubelet and Prometheus ask from outside.",
  ),
  keysRefreshMs: setting(
    "POSTERN_KEYS_REFRESH",
    durationMs,
    "5m",
    "How often the keys of issuers are fetched; a new key of an issuer is unknown for as long.",
  ),
  keysMaxStaleMs: setting(
    "POSTERN_KEYS_MAX_STALE",
    durationMs,
    "24h",
    "Keys that could not be refreshed for this long are not trusted any more; a day of outage of an issuer must not take services down.",
  ),
  keysCaFile: setting(
    "POSTERN_KEYS_CA_FILE",
    filePath,
    optional,
    "Certificates by which issuers are believed, in PEM, besides the well-known authorities.",
  ),
  drainTimeoutMs: setting(
    "POSTERN_DRAIN_TIMEOUT",
    durationMs,
    "10s",
    "What is being written may take so long at the end; below the pod's grace period of 30 s.",
  ),
  logLevel: setting(
    "POSTERN_LOG_LEVEL",
    oneOf("debug", "info", "warn", "error"),
    "info",
    "Each published bundle is an info line.",
  ),
} as const;

export interface ControllerConfig extends ConfigOf<typeof SETTINGS> {
  readonly natsCredentials: NatsCredentials | undefined;
  readonly natsTls: NatsTls | undefined;
}

/** Throws PosternError `settings.invalid` with every mistake. */
export function readConfig(environment: Environment): ControllerConfig {
  const settings = readSettings(SETTINGS, environment);
  const problems: string[] = [];
  if (settings.natsCredentialsFile !== undefined && settings.natsTokenFile !== undefined) {
    problems.push("POSTERN_NATS_CREDENTIALS_FILE, POSTERN_NATS_TOKEN_FILE: only one can be used");
  }
  if ((settings.natsCertFile === undefined) !== (settings.natsKeyFile === undefined)) {
    problems.push("POSTERN_NATS_CERT_FILE, POSTERN_NATS_KEY_FILE: both are required, or none");
  }
  if (settings.keysMaxStaleMs < settings.keysRefreshMs) {
    problems.push("POSTERN_KEYS_MAX_STALE: must not be shorter than POSTERN_KEYS_REFRESH");
  }
  if (settings.keysRefreshMs < 1_000) {
    problems.push("POSTERN_KEYS_REFRESH: must be at least 1s, issuers are not ours to load");
  }
  if (problems.length > 0) throw settingsInvalid(problems);
  return Object.freeze({
    ...settings,
    natsCredentials: credentialsOf(settings),
    natsTls: tlsOf(settings),
  });
}

function replicas(text: string): number {
  if (!["1", "3", "5"].includes(text)) throw new SettingProblem("must be 1, 3 or 5");
  return Number(text);
}

type Settings = ConfigOf<typeof SETTINGS>;

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
