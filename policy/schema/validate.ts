/**
 * Unknown input → a value of the schema's type with its defaults filled in, or every reason why not. A value
 * that comes out was built here, field by field: nothing that the schema does not name survives. Sentences
 * begin with the API server's own words, so that `kubectl apply` and a file say the same of one mistake.
 */
import type {
  FieldNode,
  IntegerNode,
  ListNode,
  MapNode,
  ObjectNode,
  Schema,
  SchemaNode,
  StringNode,
  UnionNode,
} from "./schema.ts";
import { closest } from "./closest.ts";

export interface Issue {
  /** As Kubernetes writes it: `spec.operations.rules[1].path`. */
  readonly path: string;
  readonly message: string;
}

export type Validation<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "invalid"; readonly issues: readonly Issue[] };

/** More would not help anybody, and bad input should not cost memory. */
const MAX_ISSUES = 20;

type Values = Readonly<Record<string, unknown>>;

export function validate<T>(schema: Schema<T>, value: unknown, path: string): Validation<T> {
  const issues: Issue[] = [];
  const result = visit(schema.node, value, path, issues);
  return issues.length === 0
    ? { kind: "value", value: result as T }
    : { kind: "invalid", issues: issues.slice(0, MAX_ISSUES) };
}

/** One line per issue, as a person reads it. */
export function issueText({ path, message }: Issue): string {
  return path === "" || message.startsWith("unknown field") ? message : `${path}: ${message}`;
}

export function isObject(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function visit(node: SchemaNode, value: unknown, path: string, issues: Issue[]): unknown {
  if (issues.length >= MAX_ISSUES) return undefined;
  const before = issues.length;
  const result = visitShape(node, value, path, issues);
  if (issues.length > before) return undefined;
  for (const rule of node.rules) {
    if (!rule.holds(result)) {
      issues.push({
        path: `${path}${rule.fieldPath ?? ""}`,
        message: `Invalid value: ${rule.message}`,
      });
    }
  }
  return result;
}

function visitShape(node: SchemaNode, value: unknown, path: string, issues: Issue[]): unknown {
  switch (node.kind) {
    case "string":
      return visitString(node, value, path, issues);
    case "integer":
      return visitInteger(node, value, path, issues);
    case "list":
      return visitList(node, value, path, issues);
    case "map":
      return visitMap(node, value, path, issues);
    case "object":
      return visitObject(node, value, path, issues);
    case "union":
      return visitUnion(node, value, path, issues);
  }
}

function visitString(node: StringNode, value: unknown, path: string, issues: Issue[]): unknown {
  const fail = (message: string) => void issues.push({ path, message });
  if (typeof value !== "string") {
    fail(`Invalid value: found ${found(value)}, a string is required`);
  } else if (node.values !== undefined) {
    if (!node.values.includes(value)) fail(unsupported(value, node.values));
  } else if (!value.isWellFormed()) {
    fail("Invalid value: found a lone surrogate, well-formed Unicode is required");
  } else if (value.length > node.maxLength && Array.from(value).length > node.maxLength) {
    fail(`Too long: may not be more than ${node.maxLength} characters`);
  } else if (value.length < node.minLength) {
    fail(`Invalid value: ${found(value)}: should be at least ${node.minLength} chars long`);
  } else if (node.pattern !== undefined && !compiled(node.pattern).test(value)) {
    fail(`Invalid value: ${found(value)}: should match '${node.pattern}'`);
  }
  return value;
}

function visitInteger(node: IntegerNode, value: unknown, path: string, issues: Issue[]): unknown {
  if (
    !Number.isSafeInteger(value) ||
    (value as number) < node.minimum ||
    (value as number) > node.maximum
  ) {
    issues.push({
      path,
      message: `Invalid value: found ${found(value)}, an integer from ${node.minimum} to ${node.maximum} is required`,
    });
  }
  return value;
}

function visitList(node: ListNode, value: unknown, path: string, issues: Issue[]): unknown {
  if (!Array.isArray(value)) {
    issues.push({ path, message: `Invalid value: found ${found(value)}, a list is required` });
    return undefined;
  }
  if (value.length > node.maxItems) {
    const message = `Too many: ${value.length}: must have at most ${node.maxItems} items`;
    issues.push({ path, message });
    return undefined;
  }
  if (value.length < node.minItems) {
    const message = `Invalid value: ${value.length}: should have at least ${node.minItems} items`;
    issues.push({ path, message });
    return undefined;
  }
  const seen = new Set<string>();
  return value.map((item: unknown, index) => {
    const at = `${path}[${index}]`;
    const identity = identityOf(node, item);
    if (identity !== undefined && seen.has(identity)) {
      issues.push({ path: at, message: `Duplicate value: ${identity}` });
    }
    if (identity !== undefined) seen.add(identity);
    return visit(node.items, item, at, issues);
  });
}

function identityOf(node: ListNode, item: unknown): string | undefined {
  if (node.listType === "set") return JSON.stringify(item);
  if (node.key === undefined || !isObject(item)) return undefined;
  return JSON.stringify({ [node.key]: item[node.key] });
}

function visitMap(node: MapNode, value: unknown, path: string, issues: Issue[]): unknown {
  if (!isObject(value)) {
    issues.push({ path, message: `Invalid value: found ${found(value)}, an object is required` });
    return undefined;
  }
  const entries = Object.entries(value);
  if (entries.length > node.maxProperties) {
    const message = `Too many: ${entries.length}: must have at most ${node.maxProperties} items`;
    issues.push({ path, message });
    return undefined;
  }
  if (entries.length < node.minProperties) {
    const message = `Invalid value: ${entries.length}: should have at least ${node.minProperties} properties`;
    issues.push({ path, message });
    return undefined;
  }
  // fromEntries defines own properties: a key `__proto__` stays a key.
  return Object.fromEntries(
    entries.map(([key, item]) => [key, visit(node.values, item, `${path}.${key}`, issues)]),
  );
}

function visitObject(node: ObjectNode, value: unknown, path: string, issues: Issue[]): unknown {
  if (!isObject(value)) {
    issues.push({ path, message: `Invalid value: found ${found(value)}, an object is required` });
    return undefined;
  }
  for (const key of Object.keys(value)) {
    if (!node.fields.has(key)) issues.push(unknownField(node.fields, key, path));
  }
  const result: Record<string, unknown> = {};
  for (const [name, field] of node.fields) {
    const at = path === "" ? name : `${path}.${name}`;
    if (!Object.hasOwn(value, name) || value[name] === undefined) {
      if (field.presence === "defaulted") result[name] = field.defaultValue;
      if (field.presence === "required") issues.push({ path: at, message: required(field) });
    } else {
      result[name] = visit(field.schema, value[name], at, issues);
    }
  }
  return result;
}

function visitUnion(node: UnionNode, value: unknown, path: string, issues: Issue[]): unknown {
  const member = isObject(value) ? node.choose(value) : undefined;
  if (member === undefined) {
    issues.push({ path, message: `Invalid value: found ${found(value)}, ${node.expectation}` });
    return undefined;
  }
  return visit(member, value, path, issues);
}

function required({ schema }: FieldNode): string {
  switch (schema.kind) {
    case "string":
      return schema.values === undefined
        ? "Required value: a string is missing"
        : `Required value: one of ${quoted(schema.values)} is missing`;
    case "integer":
      return "Required value: an integer is missing";
    case "list":
      return "Required value: a list is missing";
    case "map":
    case "object":
    case "union":
      return "Required value: an object is missing";
  }
}

function unknownField(fields: ObjectNode["fields"], key: string, path: string): Issue {
  const at = path === "" ? key : `${path}.${key}`;
  const near = closest(key, [...fields.keys()]);
  const known = [...fields.keys()].join(", ");
  const hint =
    near === undefined
      ? `; ${known === "" ? "no fields are possible here" : `the fields here are ${known}`}`
      : `; did you mean "${near}"?`;
  return { path: at, message: `unknown field ${JSON.stringify(shortened(at, 200))}${hint}` };
}

function unsupported(value: string, values: readonly string[]): string {
  const near = closest(value, values);
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  return `Unsupported value: ${JSON.stringify(shortened(value, 80))}: supported values: ${quoted(values)}${hint}`;
}

function quoted(values: readonly string[]): string {
  return values.map((value) => JSON.stringify(value)).join(", ");
}

function found(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return JSON.stringify(shortened(value, 80));
  return typeof value === "number" || typeof value === "boolean" ? String(value) : typeof value;
}

function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}

const patterns = new Map<string, RegExp>();

/** Bounded by the number of patterns in our own schemas. */
function compiled(pattern: string): RegExp {
  let regexp = patterns.get(pattern);
  if (regexp === undefined) {
    regexp = new RegExp(pattern);
    patterns.set(pattern, regexp);
  }
  return regexp;
}
