/** The two kinds as CustomResourceDefinitions; `npm run generate` writes them to crds/. */
import { structural } from "../schema/structural.ts";
import type { JsonObject } from "../schema/structural.ts";
import { API_VERSION, GROUP, VERSION } from "./kinds.ts";
import type { Kind } from "./kinds.ts";
import { policyStatus } from "./status.ts";

export function customResourceDefinition(kind: Kind): JsonObject {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${kind.plural}.${GROUP}`,
      labels: { "app.kubernetes.io/name": "postern", "app.kubernetes.io/part-of": "postern" },
    },
    spec: {
      group: GROUP,
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        shortNames: [kind.shortName],
        categories: ["postern"],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns(),
          schema: { openAPIV3Schema: rootSchema(kind) },
        },
      ],
    },
  };
}

function rootSchema(kind: Kind): JsonObject {
  return {
    description: kind.description,
    type: "object",
    required: ["spec"],
    properties: {
      apiVersion: { type: "string", description: `\`${API_VERSION}\`.` },
      kind: { type: "string", description: `\`${kind.kind}\`.` },
      metadata: { type: "object" },
      spec: structural(kind.spec.node),
      status: structural(policyStatus.node),
    },
  };
}

function columns(): readonly JsonObject[] {
  const condition = (name: string) => ({
    name,
    type: "string",
    jsonPath: `.status.conditions[?(@.type=="${name}")].status`,
  });
  return [
    condition("Accepted"),
    condition("Enforced"),
    { name: "Mode", type: "string", jsonPath: ".spec.mode" },
    { name: "Sidecars", type: "string", jsonPath: ".status.sidecars" },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ];
}
