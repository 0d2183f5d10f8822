/** `postern status`: what the controller wrote into the policies' status, for people: who enforces, and who lags. */
import {
  type KubeClient,
  type KubeObject,
  createKubeClient,
} from "../../controller/kube/client.ts";
import type { KubePage } from "../../controller/kube/client.ts";
import { GROUP, KINDS, VERSION } from "../../policy/api/kinds.ts";
import type { Condition, ConditionType, PolicyStatus } from "../../policy/status.ts";
import { systemClock } from "../../runtime/clock.ts";
import { DONE, type Io, PROBLEM, json } from "../io.ts";
import { explainClusterError, loadUserConfig } from "../kube/user-config.ts";
import { age, table } from "../table.ts";

export interface StatusOptions {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly kubeconfig?: string;
  readonly output: string;
}

/** Enough to see which one it is; all of them stand in the status. */
const SHOWN_WORKLOADS = 20;
const PAGE = 500;

interface Row {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly generation: number | undefined;
  readonly mode: string;
  readonly createdMs: number;
  readonly status: Partial<PolicyStatus>;
}

export async function statusCommand(
  name: string | undefined,
  options: StatusOptions,
  io: Io,
): Promise<number> {
  const user = loadUserConfig(options.kubeconfig, io.env);
  const namespace =
    options.allNamespaces === true ? undefined : (options.namespace ?? user.namespace);
  const client = createKubeClient(user.config);
  let rows: Row[];
  try {
    rows = await readRows(client, namespace, io.signal);
  } catch (error) {
    io.err(`${explainClusterError(error)}\n`);
    return PROBLEM;
  } finally {
    client.close();
  }
  if (name !== undefined) rows = rows.filter((row) => row.name === name);
  if (options.output === "json") {
    io.out(json({ policies: rows.map(machineRow) }));
  } else if (rows.length > 0) {
    io.out(tableOf(rows));
    if (options.output === "wide") for (const row of rows) io.out(workloadsOf(row));
    for (const row of rows) io.out(troubleOf(row));
  }
  if (rows.length === 0) {
    const where = namespace === undefined ? "in any namespace" : `in namespace "${namespace}"`;
    const what = name === undefined ? "no policy" : `no policy "${name}"`;
    io.err(`There is ${what} ${where}; -A looks everywhere\n`);
    return name === undefined ? DONE : PROBLEM;
  }
  return rows.every(isEnforced) ? DONE : PROBLEM;
}

async function readRows(
  client: KubeClient,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { plural, kind, scope } of KINDS) {
    const within = scope === "Cluster" || namespace === undefined ? "" : `/namespaces/${namespace}`;
    const path = `/apis/${GROUP}/${VERSION}${within}/${plural}`;
    let token: string | undefined;
    do {
      const page: KubePage = await client.send({
        method: "GET",
        path,
        query: { limit: PAGE, continue: token },
        signal,
      });
      rows.push(...(page.items ?? []).map((item) => rowOf(kind, item)));
      token = page.metadata.continue;
    } while (token !== undefined && token !== "");
  }
  return rows;
}

function rowOf(kind: string, object: KubeObject): Row {
  const { name, namespace, generation } = object.metadata;
  const spec = (object["spec"] ?? {}) as { readonly mode?: string };
  const created = (object.metadata as { readonly creationTimestamp?: string }).creationTimestamp;
  return {
    kind,
    namespace,
    name,
    generation,
    mode: spec.mode ?? "",
    createdMs: Date.parse(created ?? ""),
    status: object["status"] ?? {},
  };
}

function tableOf(rows: readonly Row[]): string {
  const now = systemClock.now();
  return table(
    ["NAMESPACE", "NAME", "ACCEPTED", "ENFORCED", "MODE", "SIDECARS", "AGE"],
    rows.map((row) => [
      row.namespace ?? "(cluster)",
      row.name,
      condition(row, "Accepted")?.status ?? "Unknown",
      condition(row, "Enforced")?.status ?? "Unknown",
      row.mode,
      row.status.sidecars ?? "-",
      age(row.createdMs, now),
    ]),
  );
}

function workloadsOf(row: Row): string {
  const workloads = row.status.workloads ?? [];
  if (workloads.length === 0) return "";
  const shown = workloads.slice(0, SHOWN_WORKLOADS);
  const more = workloads.length - shown.length;
  const body = table(
    ["WORKLOAD", "REVISION", "SIDECARS", "DIGEST"],
    shown.map((workload) => [
      `${workload.namespace}/${workload.name}`,
      String(workload.revision),
      `${workload.enforcing}/${workload.sidecars}`,
      workload.digest.slice(0, 19),
    ]),
  );
  return `\n${title(row)}\n${body}${more > 0 ? `… and ${more} more\n` : ""}`;
}

/** The sentences that say what is wrong, also in the short table: a number alone helps nobody. */
function troubleOf(row: Row): string {
  const current = row.status.conditions ?? [];
  const lines = current
    .filter(({ status }) => status !== "True")
    .map(({ type, reason, message }) => `  ${type}: ${reason}: ${message}\n`);
  if (current.length === 0) lines.push("  the controller has not looked at it yet\n");
  if (row.generation !== undefined && row.status.observedGeneration !== row.generation) {
    const seen = row.status.observedGeneration ?? "none";
    lines.push(`  the status is of generation ${seen}, the policy is at ${row.generation}\n`);
  }
  return lines.length === 0 ? "" : `\n${title(row)}\n${lines.join("")}`;
}

function title({ kind, namespace, name }: Row): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

function condition(row: Row, type: ConditionType): Condition | undefined {
  return (row.status.conditions ?? []).find((candidate) => candidate.type === type);
}

function isEnforced(row: Row): boolean {
  return (
    condition(row, "Enforced")?.status === "True" &&
    (row.generation === undefined || row.status.observedGeneration === row.generation)
  );
}

function machineRow(row: Row): unknown {
  const { kind, namespace, name, generation, mode, status } = row;
  return { kind, namespace, name, generation, mode, enforced: isEnforced(row), status };
}
