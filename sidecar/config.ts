/** The settings of a sidecar process. Policy is never configured here: it comes as bundles. */
import { readFileSync } from "node:fs";
import type { WorkloadRef } from "../policy/bundle.ts";
import { workloadName } from "../policy/workload-name.ts";
import { NATS_SETTINGS, natsAccess, natsProblems } from "../runtime/bus/nats-settings.ts";
import type { NatsAccess } from "../runtime/bus/nats-settings.ts";
import { describe } from "../runtime/error.ts";
import { address, durationMs, filePath, labelName, objectName, oneOf } from "../runtime/parsers.ts";
import {
  SettingProblem,
  optional,
  readSettings,
  required,
  setting,
  settingsInvalid,
} from "../runtime/settings.ts";
import type { ConfigOf, Environment } from "../runtime/settings.ts";
import type { TlsFiles } from "./connection/tls-files.ts";
import type { UpstreamAddress } from "./upstream/address.ts";
import { readUpstream } from "./upstream/address.ts";

export const SETTINGS = {
  upstream: setting(
    "POSTERN_UPSTREAM_URL",
    upstreamAddress,
    required,
    "The application in the same pod, as http://127.0.0.1:8080, or unix:///run/app.sock for a Unix socket in a volume that both containers mount.",
  ),
  listen: setting(
    "POSTERN_LISTEN",
    address,
    ":15080",
    "Where requests come in; every interface, since they come from other pods.",
  ),
  admin: setting(
    "POSTERN_ADMIN_LISTEN",
    address,
    "127.0.0.1:15021",
    "Probes, metrics and /debug/bundle; loopback unless you decide that others may read them. The chart sets it to the pod's address for probes and scrapes.",
  ),
  ...NATS_SETTINGS,
  namespace: setting("POSTERN_NAMESPACE", labelName, required, "The pod's namespace."),
  pod: setting("POSTERN_POD", objectName, required, "The pod's name, for reports."),
  workload: setting(
    "POSTERN_WORKLOAD",
    labelName,
    optional,
    "The workload's name; otherwise it follows from POSTERN_POD_LABELS_FILE.",
  ),
  podLabelsFile: setting(
    "POSTERN_POD_LABELS_FILE",
    filePath,
    optional,
    "The pod's labels as the downward API writes them; the workload's name follows from them.",
  ),
  bundleKeysFile: setting(
    "POSTERN_BUNDLE_KEYS_FILE",
    filePath,
    required,
    "JWKS with the public Ed25519 keys by which bundles are believed; read again when it changes.",
  ),
  stateDir: setting(
    "POSTERN_STATE_DIR",
    filePath,
    "/var/lib/postern",
    "Keeps the last verified bundle, so that a restarted container enforces before NATS answers.",
  ),
  maxStaleMs: setting(
    "POSTERN_POLICY_MAX_STALE",
    durationMs,
    "24h",
    "With a bundle issued longer ago, everything is refused; a night without a controller must not take services down.",
  ),
  tlsCertFile: setting(
    "POSTERN_TLS_CERT_FILE",
    filePath,
    optional,
    "PEM with the certificate that callers see, then its intermediates; read again when it changes. Without it there is no TLS.",
  ),
  tlsKeyFile: setting(
    "POSTERN_TLS_KEY_FILE",
    filePath,
    optional,
    "PEM with the certificate's private key, without a passphrase.",
  ),
  tlsClientCaFile: setting(
    "POSTERN_TLS_CLIENT_CA_FILE",
    filePath,
    optional,
    "PEM with the CAs of client certificates; with it callers are asked for one, and one that does not verify ends the connection.",
  ),
  drainTimeoutMs: setting(
    "POSTERN_DRAIN_TIMEOUT",
    durationMs,
    "25s",
    "Requests in flight may take so long at the end; below the pod's grace period of 30 s.",
  ),
  logLevel: setting(
    "POSTERN_LOG_LEVEL",
    oneOf("debug", "info", "warn", "error"),
    "info",
    "Every decision is an info line.",
  ),
} as const;

type TlsName = "tlsCertFile" | "tlsKeyFile" | "tlsClientCaFile";

export interface SidecarConfig
  extends Omit<ConfigOf<typeof SETTINGS>, "workload" | TlsName>, NatsAccess {
  /** Absent: no TLS. */
  readonly tls?: TlsFiles;
  readonly workload: WorkloadRef;
}

/** Throws PosternError `settings.invalid` with every mistake. */
export function readConfig(environment: Environment): SidecarConfig {
  const {
    tlsCertFile: cert,
    tlsKeyFile: key,
    tlsClientCaFile: clientCa,
    ...settings
  } = readSettings(SETTINGS, environment);
  const problems = [...natsProblems(settings), ...tlsProblems({ cert, key, clientCa })];
  let name = settings.workload;
  if ((name === undefined) === (settings.podLabelsFile === undefined)) {
    problems.push("POSTERN_WORKLOAD, POSTERN_POD_LABELS_FILE: exactly one is required");
  } else if (settings.podLabelsFile !== undefined) {
    try {
      name = workloadName(parseLabels(readFileSync(settings.podLabelsFile, "utf8")));
    } catch (cause) {
      problems.push(`POSTERN_POD_LABELS_FILE: cannot be read: ${describe(cause)}`);
    }
  }
  if (problems.length > 0 || name === undefined) throw settingsInvalid(problems);
  return Object.freeze({
    ...settings,
    workload: { namespace: settings.namespace, name },
    ...natsAccess(settings),
    ...(cert !== undefined &&
      key !== undefined && { tls: { cert, key, ...(clientCa !== undefined && { clientCa }) } }),
  });
}

function upstreamAddress(text: string): UpstreamAddress {
  const reading = readUpstream(text);
  if (reading.kind === "address") return reading.address;
  throw new SettingProblem(
    `must be http:// with host and port alone, or unix:/ with a path: found ${JSON.stringify(text)}, ${reading.why}`,
  );
}

function tlsProblems({
  cert,
  key,
  clientCa,
}: Readonly<Record<string, string | undefined>>): string[] {
  if ((cert === undefined) !== (key === undefined)) {
    return ["POSTERN_TLS_CERT_FILE, POSTERN_TLS_KEY_FILE: one is useless without the other"];
  }
  if (cert === undefined && clientCa !== undefined) {
    return [
      "POSTERN_TLS_CLIENT_CA_FILE: needs POSTERN_TLS_CERT_FILE, since without TLS nobody has a certificate",
    ];
  }
  return [];
}

/** Lines of `key="value"`, the value quoted as Go does. */
export function parseLabels(text: string): Readonly<Record<string, string>> {
  const labels: [string, string][] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const match = /^([^="]+)=(".*")$/.exec(line);
    if (match === null) throw new SyntaxError(`not a label: ${JSON.stringify(line.slice(0, 80))}`);
    labels.push([match[1] ?? "", JSON.parse(match[2] ?? "") as string]);
  }
  return Object.fromEntries(labels);
}
