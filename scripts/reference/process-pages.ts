/** docs/reference/settings.md and metrics.md: from the tables that the processes read and write. */
import { SETTINGS as CONTROLLER_SETTINGS } from "../../controller/config.ts";
import { renderMetrics } from "../../controller/metrics.ts";
import { processMetrics } from "../../runtime/process-metrics.ts";
import { optional, required } from "../../runtime/settings.ts";
import type { Settings } from "../../runtime/settings.ts";
import { SETTINGS as SIDECAR_SETTINGS } from "../../sidecar/config.ts";
import { METRICS } from "../../sidecar/metrics.ts";

export function settingsPage(): string {
  return `${[
    "# Settings",
    "Read once at start, from the environment. All mistakes are reported together, and an unknown `POSTERN_` name is one of them: a misspelt setting must not silently weaken anything. (Names that Kubernetes makes for Services called `postern…` are not ours and are passed over.) Policy is never configured here.",
    "## Sidecar",
    settingsTable(SIDECAR_SETTINGS),
    "## Controller",
    settingsTable(CONTROLLER_SETTINGS),
  ].join("\n\n")}\n`;
}

export function metricsPage(): string {
  using costs = processMetrics();
  const sidecar = Object.entries(METRICS).map(([name, { type, labels, help }]) => ({
    name,
    type,
    help: labels.length === 0 ? help : `${help} Labels: ${labels.join(", ")}.`,
  }));
  return `${[
    "# Metrics",
    "In Prometheus' text format at `/metrics` of the admin port.",
    "## Sidecar",
    metricsTable(sidecar),
    "## Controller",
    metricsTable(families(renderMetrics(NOTHING_YET))),
    "## Both",
    metricsTable(families(costs.render())),
  ].join("\n\n")}\n`;
}

/** A controller that has just started: its page has every metric. */
const NOTHING_YET: Parameters<typeof renderMetrics>[0] = {
  latest: undefined,
  reconcile: { passes: 0, lastMs: 0 },
  publish: { published: 0, failed: 0, removed: 0 },
  status: { writes: 0, failures: 0 },
  sidecars: { reports: 0, ignored: 0 },
  states: new Map(),
  keys: { known: 0, unavailable: 0, fetches: 0 },
  busConnected: false,
  failures: new Map(),
};

function settingsTable(settings: Settings): string {
  const rows = Object.values(settings).map(({ name, fallback, sentence }) => {
    const shown =
      fallback === required ? "required" : fallback === optional ? "–" : `\`${fallback}\``;
    return `| \`${name}\` | ${shown} | ${sentence} |`;
  });
  return ["| Name | Default | Meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
}

function families(text: string): Family[] {
  return [...text.matchAll(/^# HELP (\S+) (.+)\n# TYPE \S+ (\S+)$/gm)].map(
    ([, name = "", help = "", type = ""]) => ({ name, type, help }),
  );
}

function metricsTable(rows: readonly Family[]): string {
  const lines = rows.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${help} |`);
  return ["| Name | Type | Meaning |", "| --- | --- | --- |", ...lines].join("\n");
}
