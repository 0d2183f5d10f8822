/**
 * The real servers that tests run against. `npm test` obtains them before and hands over what it has;
 * a test file that is run alone finds them in the cache, and never builds.
 */
import { NATS_SERVER } from "../../cli/parts/nats-server.ts";
import { type Obtained, type Part, obtainPart } from "../../cli/parts/part.ts";

const KUBERNETES = {
  family: "kubernetes",
  version: "1.37.2",
  module: "test/support/parts/kubernetes",
  ldflags: [
    "-s -w",
    "-X k8s.io/component-base/version.gitVersion=v1.37.2",
    "-X k8s.io/component-base/version.gitMajor=1",
    "-X k8s.io/component-base/version.gitMinor=37",
  ].join(" "),
  // The oldest release in which everything that our CRDs' CEL rules use is stable.
  minimum: "1.33.0",
  inKubebuilderAssets: true,
} as const;

export const PARTS = {
  "nats-server": NATS_SERVER,
  etcd: {
    name: "etcd",
    family: "etcd",
    version: "3.6.8",
    module: "test/support/parts/etcd",
    goPackage: "go.etcd.io/etcd/server/v3",
    buildTime: "about a minute",
    minimum: "3.5.0",
    versionArguments: ["--version"],
    versionPattern: /etcd Version: (\d+\.\d+\.\d+)/,
    inKubebuilderAssets: true,
  },
  kubectl: {
    ...KUBERNETES,
    name: "kubectl",
    goPackage: "k8s.io/kubernetes/cmd/kubectl",
    buildTime: "about 2 minutes",
    versionArguments: ["version", "--client", "-o", "json"],
    versionPattern: /"gitVersion":\s*"v?(\d+\.\d+\.\d+)/,
  },
  "kube-apiserver": {
    ...KUBERNETES,
    name: "kube-apiserver",
    goPackage: "k8s.io/kubernetes/cmd/kube-apiserver",
    buildTime: "about 4 minutes",
    versionArguments: ["--version"],
    versionPattern: /Kubernetes v?(\d+\.\d+\.\d+)/,
  },
  helm: {
    name: "helm",
    family: "helm",
    version: "4.3.1",
    module: "test/support/parts/helm",
    goPackage: "helm.sh/helm/v4/cmd/helm",
    ldflags: "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1",
    buildTime: "about 2 minutes",
    // Golden renders and refusals are in the words of Helm 4.
    minimum: "4.0.0",
    versionArguments: ["version", "--template", "{{.Version}}"],
    versionPattern: /^v(\d+\.\d+\.\d+)/,
  },
} as const satisfies Record<string, Part>;

export type PartName = keyof typeof PARTS;
export type PartPaths = Readonly<Record<PartName, string>>;

/** What `npm test` obtained, by name, as JSON. */
export const PARTS_VARIABLE = "POSTERN_TEST_PARTS";

/** Where a part is, without building anything. */
export async function lookUp(name: PartName): Promise<Obtained> {
  const handedOver = process.env[PARTS_VARIABLE];
  if (handedOver !== undefined) {
    const table = JSON.parse(handedOver) as Readonly<Record<string, Obtained>>;
    return table[name] ?? { kind: "missing", remedy: `${PARTS_VARIABLE} does not name it` };
  }
  return obtainPart(PARTS[name], {
    env: process.env,
    report: () => undefined,
    signal: AbortSignal.timeout(60_000),
    prefer: "pinned",
    lookOnly: true,
  });
}
