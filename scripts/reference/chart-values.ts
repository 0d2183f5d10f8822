/**
 * The values of charts/postern, one row each: values.yaml, its schema, the reference page and the settings in
 * the Deployment follow from this table. What is a setting of the controller takes sentence and default from there.
 */
import { SETTINGS } from "../../controller/config.ts";
import type { Setting } from "../../runtime/settings.ts";

export interface ChartValue {
  /** With dots. */
  readonly path: string;
  readonly sentence: string;
  readonly fallback: unknown;
  /** JSON Schema. */
  readonly schema: object;
  /** The environment variable that gets it as it is. */
  readonly variable?: string;
}

const TEXT = { type: "string" };
const NAME_OR_NONE = { type: "string", pattern: "^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" };
const DURATION = { type: "string", pattern: "^([0-9]+([.][0-9]+)?(ms|s|m|h))+$" };
const AMOUNTS = { type: "object", additionalProperties: { type: ["string", "number"] } };
const TEXTS = { type: "object", additionalProperties: TEXT };

export const CHART_VALUES: readonly ChartValue[] = [
  {
    path: "image.repository",
    sentence:
      "Your image of dist/controller.js, as registry.example.com/postern-controller; required, no image is published yet.",
    fallback: "",
    schema: { type: "string", pattern: "^[^\\s@]*$" },
  },
  {
    path: "image.tag",
    sentence:
      'Its tag, better with a digest: "0.1.0@sha256:…"; when empty, the appVersion of this chart.',
    fallback: "",
    schema: { type: "string", pattern: "^\\S*$" },
  },
  {
    path: "image.pullPolicy",
    sentence: "Always, IfNotPresent or Never.",
    fallback: "IfNotPresent",
    schema: { enum: ["Always", "IfNotPresent", "Never"] },
  },
  {
    path: "image.pullSecrets",
    sentence: "Names of Secrets in the release's namespace with which the image is pulled.",
    fallback: [],
    schema: { type: "array", items: { ...NAME_OR_NONE, minLength: 1 } },
  },
  {
    path: "nats.url",
    sentence: `${SETTINGS.natsServers.sentence} Required: NATS 2.10 or newer with JetStream is not part of this chart.`,
    fallback: "",
    schema: { type: "string", pattern: "^$|^(nats|tls)://[^\\s@]+$" },
  },
  fromSetting("nats.replicas", SETTINGS.natsReplicas, { enum: [1, 3, 5] }, Number),
  {
    path: "nats.credentialsSecret",
    sentence: `A Secret whose entry nats.creds is mounted. ${SETTINGS.natsCredentialsFile.sentence}`,
    fallback: "",
    schema: NAME_OR_NONE,
  },
  {
    path: "nats.tls.caSecret",
    sentence: `A Secret whose entry ca.crt is mounted. ${SETTINGS.natsCaFile.sentence}`,
    fallback: "",
    schema: NAME_OR_NONE,
  },
  {
    path: "nats.tls.certificateSecret",
    sentence:
      "A Secret of type kubernetes.io/tls, whose entries tls.crt and tls.key are mounted: our certificate for the bus, if it asks for one.",
    fallback: "",
    schema: NAME_OR_NONE,
  },
  fromSetting("keys.refresh", SETTINGS.keysRefreshMs, DURATION),
  fromSetting("keys.maxStale", SETTINGS.keysMaxStaleMs, DURATION),
  {
    path: "keys.caConfigMap",
    sentence: `A ConfigMap whose entry ca.crt is mounted. ${SETTINGS.keysCaFile.sentence}`,
    fallback: "",
    schema: NAME_OR_NONE,
  },
  {
    ...fromSetting("logLevel", SETTINGS.logLevel, { enum: ["debug", "info", "warn", "error"] }),
    sentence: `debug, info, warn or error. ${SETTINGS.logLevel.sentence}`,
  },
  {
    path: "metrics.service.enabled",
    sentence: "A Service in front of /metrics, for whoever scrapes by Service.",
    fallback: false,
    schema: { type: "boolean" },
  },
  {
    path: "resources",
    sentence:
      "Of the controller's container. There is no limit of CPU, since a throttled controller only publishes later.",
    fallback: { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "512Mi" } },
    schema: {
      type: "object",
      additionalProperties: false,
      properties: { requests: AMOUNTS, limits: AMOUNTS },
    },
  },
  {
    path: "podAnnotations",
    sentence: "Annotations of the controller's pod.",
    fallback: {},
    schema: TEXTS,
  },
  {
    path: "nodeSelector",
    sentence: "Labels of the nodes on which it may run.",
    fallback: {},
    schema: TEXTS,
  },
  {
    path: "tolerations",
    sentence: "Taints of nodes that it tolerates, as in a pod.",
    fallback: [],
    schema: { type: "array", items: { type: "object" } },
  },
  {
    path: "affinity",
    sentence: "Affinity, as in a pod.",
    fallback: {},
    schema: { type: "object" },
  },
];

function fromSetting(
  path: string,
  setting: Setting<unknown>,
  schema: object,
  read: (text: string) => unknown = String,
): ChartValue {
  if (typeof setting.fallback !== "string") {
    throw new TypeError(`Cannot take the default of ${setting.name}: it has none`);
  }
  return {
    path,
    sentence: setting.sentence,
    fallback: read(setting.fallback),
    schema,
    variable: setting.name,
  };
}
