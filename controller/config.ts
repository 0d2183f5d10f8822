/** The settings of the controller's process. Policy is never configured here: it is what policies say. */
import { NATS_SETTINGS, natsAccess, natsProblems } from "../runtime/bus/nats-settings.ts";
import type { NatsAccess } from "../runtime/bus/nats-settings.ts";
import { address, durationMs, filePath, labelName, oneOf } from "../runtime/parsers.ts";
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
  ...NATS_SETTINGS,
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

export type ControllerConfig = ConfigOf<typeof SETTINGS> & NatsAccess;

/** Throws PosternError `settings.invalid` with every mistake. */
export function readConfig(environment: Environment): ControllerConfig {
  const settings = readSettings(SETTINGS, environment);
  const problems = natsProblems(settings);
  if (settings.keysMaxStaleMs < settings.keysRefreshMs) {
    problems.push("POSTERN_KEYS_MAX_STALE: must not be shorter than POSTERN_KEYS_REFRESH");
  }
  if (settings.keysRefreshMs < 1_000) {
    problems.push("POSTERN_KEYS_REFRESH: must be at least 1s, issuers are not ours to load");
  }
  if (problems.length > 0) throw settingsInvalid(problems);
  return Object.freeze({
    ...settings,
    ...natsAccess(settings),
  });
}

function replicas(text: string): number {
  if (!["1", "3", "5"].includes(text)) throw new SettingProblem("must be 1, 3 or 5");
  return Number(text);
}
