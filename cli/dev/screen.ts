/** What `postern dev` shows: where everything is, what to try, and every change of policy as it takes force. */
import { relative } from "node:path";
import type { ClusterEvent } from "../../controller/cluster.ts";
import type { Policy } from "../../policy/resources.ts";
import type { PolicyStatus } from "../../policy/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import { addressText } from "../address.ts";
import { problemText } from "../files/problem.ts";
import type { DevEnvironment } from "./environment.ts";
import type { FolderLoaded } from "./file-cluster.ts";

export interface Screen {
  welcome(dev: DevEnvironment): void;
  onLoaded(loaded: FolderLoaded): void;
  onStatus(policy: Pick<Policy, "kind" | "metadata">, status: PolicyStatus): void;
  onEvent(event: ClusterEvent): void;
}

export function createScreen(write: (text: string) => void, clock: Clock, cwd: string): Screen {
  const said = new Map<string, string>();
  const line = (text: string): void => write(`${timeOf(clock)}  ${text}\n`);
  return {
    welcome: (dev) => write(welcome(dev, cwd)),
    onLoaded(loaded) {
      for (const problem of loaded.problems) line(problemText(problem));
      if (loaded.kind === "refused")
        line("nothing changed: the policies from before stay in force");
    },
    onStatus({ metadata }, { conditions, sidecars }) {
      const enforced = conditions.find(({ type }) => type === "Enforced");
      const accepted = conditions.find(({ type }) => type === "Accepted");
      const { name } = metadata;
      const not = accepted?.status === "False" ? `; not accepted: ${accepted.message}` : "";
      const text = `${name}: ${enforced?.message ?? `enforced by ${sidecars}`}${not}`;
      // A status is written anew for its times, too; only what reads differently is news.
      if (said.get(name) === text) return;
      said.set(name, text);
      line(text);
    },
    onEvent({ type, name, reason, message }) {
      if (type === "Warning") line(`${name}: ${reason}: ${message}`);
    },
  };
}

function welcome(dev: DevEnvironment, cwd: string): string {
  const { issuer, service, sidecars, policyFile, policyFolder, isTemporary, bus } = dev;
  const urls = sidecars.map(({ address }) => `http://${addressText(address)}`);
  const [first = ""] = urls;
  const token = (scope: string): string =>
    `-H "Authorization: Bearer $(curl -s '${issuer.url}/token?scope=${scope}')"`;
  const where = policyFile ?? policyFolder;
  const shortest = relative(cwd, where).startsWith("..") ? where : relative(cwd, where);
  return `
Postern runs on this machine. Ctrl-C stops everything.

  policy    ${shortest}
            edit it, save, and watch this screen${isTemporary ? " (it goes away in the end; --policy FOLDER keeps yours)" : ""}
  sidecars  ${urls.join("  ")}
            each protects the service at ${service.url}
  tokens    ${issuer.url}/token?scope=orders:read
  bus       ${bus.sentence}

Try:

  # 401: no token
  curl -i ${first}/orders/1

  # 200: a token that may read
  curl -i ${token("orders:read")} ${first}/orders/1

  # 403: the same token may not create
  curl -i -X POST ${token("orders:read")} ${first}/orders

  # 403: no rule declares this path, so nobody may call it
  curl -i ${token("orders:write")} ${first}/internal/keys

`;
}

function timeOf(clock: Clock): string {
  return new Date(clock.now()).toTimeString().slice(0, 8);
}
