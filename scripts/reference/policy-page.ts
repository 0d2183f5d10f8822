/** docs/reference/policy-api.md: every field of both kinds, as the schema says it. */
import { KINDS } from "../../policy/api/kinds.ts";
import type { FieldNode, ObjectNode, SchemaNode } from "../../policy/schema/schema.ts";

const INTRODUCTION = `# Policy reference

Two kinds, group \`postern.dev\`, version \`v1alpha1\`: \`ApiSecurityPolicy\` (namespaced, short name \`asp\`) and
\`ClusterApiSecurityPolicy\` (\`casp\`). A field that is not on this page does not exist: using it is an error.

## How policies combine

Every policy that selects a workload becomes one **layer** of it. Layers stand in three tiers, from wide to narrow:
cluster (\`ClusterApiSecurityPolicy\`), namespace (\`ApiSecurityPolicy\` with \`selector: {}\`), workload (any other).
A request must pass **every** layer: a policy can only tighten. There is no override and no precedence to learn.
A workload that no policy selects is closed (\`policy.none\`); the way in is \`mode: Observe\`.

A section that is absent asks nothing. A section that is present is enforced as it is written: an empty list of rules
declares nothing, and an empty list of providers means that nobody can authenticate.

## How a rule is found

1. The **path** is matched first, whole and with case, on decoded segments. \`{orderId}\` is one non-empty segment.
   \`/items/{id}\` is neither \`/items/\` nor \`/items/1/\` nor \`/ITEMS/1\`. When several templates match, the most
   specific decides, as in OpenAPI: at the leftmost difference a literal wins over a parameter.
2. Then the **method**, among the rules of that template only. With \`GET /orders/special\` and
   \`DELETE /orders/{id}\`, the call \`DELETE /orders/special\` is undeclared. \`GET\` does not include \`HEAD\`.

Two rules of one policy must not cover the same method and path, whatever their parameters are called.

## Unusable parts

A policy that is not of this schema is refused by the API server. If one got past it all the same, it closes what its
selector selects. See [problems](problems.md) for everything that can be wrong and what is enforced meanwhile.
`;

export function policyPage(): string {
  const parts = [INTRODUCTION];
  for (const kind of KINDS) {
    parts.push(
      `## ${kind.kind}`,
      `${kind.description} ${kind.scope === "Namespaced" ? "Namespaced" : "Cluster-wide"}, \`kubectl get ${kind.shortName}\`.`,
    );
    if (kind.scope === "Cluster") {
      parts.push(
        "All fields of `ApiSecurityPolicy`, and `namespaceSelector`. Only what differs is repeated here.",
      );
    }
    parts.push(...sections(kind.spec.node, "spec", (path) => !isShared(kind.scope, path)));
  }
  return `${parts.join("\n\n")}\n`;
}

/** What the two kinds have in common is described once. */
function isShared(scope: string, path: string): boolean {
  return scope === "Cluster" && path !== "spec" && !path.startsWith("spec.namespaceSelector");
}

function sections(node: SchemaNode, path: string, wanted: (path: string) => boolean): string[] {
  const object = objectIn(node);
  if (object === undefined || object.fields.size === 0) return [];
  const parts = wanted(path) ? [`### \`${path}\``, table(object), ...conditions(object, node)] : [];
  for (const [name, field] of object.fields) {
    const suffix = field.schema.kind === "list" ? "[]" : "";
    parts.push(...sections(field.schema, `${path}.${name}${suffix}`, wanted));
  }
  return parts.filter((part) => part !== "");
}

function objectIn(node: SchemaNode): ObjectNode | undefined {
  if (node.kind === "object") return node;
  return node.kind === "list" ? objectIn(node.items) : undefined;
}

function table(object: ObjectNode): string {
  const rows = [...object.fields].map(
    ([name, field]) =>
      `| \`${name}\` | ${cell(typeText(field.schema))} | ${cell(presenceText(field))} | ${cell(descriptionText(field))} |`,
  );
  return ["| Field | Type | Required | Meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

/** Conditions on the object itself, and on the list that holds it. */
function conditions(object: ObjectNode, holder: SchemaNode): string[] {
  const rules = holder === object ? object.rules : [...holder.rules, ...object.rules];
  return rules.length === 0
    ? []
    : [["Conditions:", ...rules.map(({ message }) => `- ${message}`)].join("\n")];
}

function descriptionText({ schema }: FieldNode): string {
  const own = schema.description ?? "";
  const rules = objectIn(schema) === undefined ? schema.rules : [];
  return [own, ...rules.map(({ message }) => `Condition: ${message}.`)].join(" ");
}

function presenceText({ presence, defaultValue }: FieldNode): string {
  switch (presence) {
    case "required":
      return "yes";
    case "optional":
      return "no";
    case "defaulted":
      return `no; default \`${typeof defaultValue === "string" ? defaultValue : JSON.stringify(defaultValue)}\``;
  }
}

function typeText(node: SchemaNode): string {
  switch (node.kind) {
    case "string":
      return node.values === undefined
        ? `string, ${node.minLength} to ${node.maxLength} characters${node.pattern === undefined ? "" : `, \`${node.pattern}\``}`
        : node.values.map((value) => `\`${JSON.stringify(value)}\``).join(" or ");
    case "integer":
      return `integer, ${node.minimum} to ${node.maximum}`;
    case "list":
      return `list of ${node.minItems} to ${node.maxItems}: ${typeText(node.items)}`;
    case "map":
      return `map with ${node.minProperties} to ${node.maxProperties} entries: ${typeText(node.values)}`;
    case "object":
      return node.fields.size === 0 ? "object without fields" : "object";
    case "union":
      return "object";
  }
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ").trim();
}
