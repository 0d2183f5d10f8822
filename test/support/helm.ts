/** The real helm with a home of its own: nothing of the developer's is read, and nothing is left behind. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { ROOT, SYSTEM_NAMESPACE } from "./kube.ts";

export const CHART = join(ROOT, "charts", "postern");

export interface HelmResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Helm extends Disposable {
  /** Never throws for a refusal: the code says it. */
  run(...args: readonly string[]): Promise<HelmResult>;
  /** Its standard output; throws with its words when it fails. */
  must(...args: readonly string[]): Promise<string>;
}

/** Without a kubeconfig it can reach no cluster, whatever this machine has. */
export function openHelm(path: string, kubeconfig?: string): Helm {
  const home = mkdtempSync(join(tmpdir(), "postern-helm-"));
  const env = { HOME: home, PATH: "", KUBECONFIG: kubeconfig ?? join(home, "none") };
  const run = (...args: readonly string[]): Promise<HelmResult> =>
    new Promise((resolve) => {
      execFile(path, [...args], { env, timeout: 60_000 }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr });
      });
    });
  return {
    run,
    async must(...args) {
      const result = await run(...args);
      if (result.code !== 0) throw new Error(`helm ${args.join(" ")}: ${result.stderr}`);
      return result.stdout;
    },
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true }),
  };
}

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
}

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: unknown;
  readonly spec?: {
    readonly template?: {
      readonly spec: { readonly containers: readonly { readonly env: readonly Variable[] }[] };
    };
  };
}

export function deploymentOf(rendered: string): Manifest {
  const objects = parseAllDocuments(rendered).map((document) => document.toJS() as Manifest);
  const found = objects.find(({ kind }) => kind === "Deployment");
  if (found === undefined) throw new Error("The chart rendered no Deployment");
  return found;
}

/** What the kubelet would give to the container. */
export function environmentOf(deployment: Manifest): Readonly<Record<string, string>> {
  const variables = deployment.spec?.template?.spec.containers[0]?.env ?? [];
  return Object.fromEntries(
    variables.map(({ name, value, valueFrom }) => {
      if (value !== undefined) return [name, value];
      if (valueFrom?.fieldRef?.fieldPath === "metadata.namespace") return [name, SYSTEM_NAMESPACE];
      throw new Error(`${name} has no value that this test can tell`);
    }),
  );
}
