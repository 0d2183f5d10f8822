/** The kubeconfig of the person at the terminal, found where kubectl finds it. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { PosternError, describe } from "../../runtime/error.ts";

export interface UserConfig {
  readonly config: KubeConfig;
  /** Of the current context. */
  readonly namespace: string;
}

export function loadUserConfig(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): UserConfig {
  const named = file !== undefined ? [file] : (env["KUBECONFIG"] ?? "").split(delimiter);
  const wanted = named.filter((path) => path !== "");
  const home = join(env["HOME"] ?? homedir(), ".kube", "config");
  const paths = (wanted.length > 0 ? wanted : [home]).filter((path) => existsSync(path));
  if (paths.length === 0) {
    const where = wanted.length > 0 ? wanted.join(", ") : home;
    throw new PosternError(
      "cluster.unavailable",
      `Cannot reach a cluster: there is no kubeconfig at ${where}; use --kubeconfig FILE or set KUBECONFIG`,
    );
  }
  const config = new KubeConfig();
  for (const [index, path] of paths.entries()) {
    try {
      if (index === 0) config.loadFromFile(path);
      else {
        const more = new KubeConfig();
        more.loadFromFile(path);
        config.mergeConfig(more, true);
      }
    } catch (cause) {
      throw new PosternError("cluster.unavailable", `Cannot read the kubeconfig ${path}`, {
        cause,
      });
    }
  }
  if (config.getCurrentCluster() === null) {
    throw new PosternError(
      "cluster.unavailable",
      `Cannot reach a cluster: the kubeconfig ${paths.join(", ")} has no current context; choose one with kubectl config use-context`,
    );
  }
  const context = config.getContextObject(config.getCurrentContext());
  return { config, namespace: context?.namespace ?? "default" };
}

/** For messages: what a failed call means to the person at the terminal. */
export function explainClusterError(error: unknown): string {
  const remedy =
    error instanceof PosternError && error.message.includes("HTTP 404")
      ? "; install the kinds with kubectl apply -f crds/"
      : "";
  return `${describe(error)}${remedy}`;
}
