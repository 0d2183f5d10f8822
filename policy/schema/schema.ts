/**
 * A schema as a value, of which everything else is derived: the static type (`Infer`), the check of unknown
 * input (`validate.ts`), the CRD's structural schema (`structural.ts`) and the reference page. Objects are
 * strict: a field that is not named here is an error. Lists, strings and maps cannot be written without a maximum.
 */

/** A condition that a plain schema cannot say. `cel` and `holds` say the same: one for the API server, one for us. */
export interface SchemaRule {
  /** Absent only in schemas that never become a CRD (bundles, reports). */
  readonly cel?: string;
  /** What is required, as a sentence without a period; both judges use these words. */
  readonly message: string;
  /** The field that the error names, relative, like `.path`. Absent: the value itself. */
  readonly fieldPath?: string;
  readonly holds: (value: unknown) => boolean;
}

interface Common {
  readonly description?: string;
  readonly rules: readonly SchemaRule[];
}

export interface StringNode extends Common {
  readonly kind: "string";
  readonly minLength: number;
  readonly maxLength: number;
  readonly pattern?: string;
  /** Closed set of values. */
  readonly values?: readonly string[];
  readonly format?: "date-time";
}

export interface IntegerNode extends Common {
  readonly kind: "integer";
  readonly minimum: number;
  readonly maximum: number;
}

export interface ListNode extends Common {
  readonly kind: "list";
  readonly items: SchemaNode;
  readonly minItems: number;
  readonly maxItems: number;
  readonly listType: "atomic" | "map" | "set";
  /** For `map`: the field by which items are told apart. */
  readonly key?: string;
}

export interface MapNode extends Common {
  readonly kind: "map";
  readonly values: SchemaNode;
  readonly minProperties: number;
  readonly maxProperties: number;
}

export interface FieldNode {
  readonly schema: SchemaNode;
  readonly presence: "required" | "optional" | "defaulted";
  readonly defaultValue?: unknown;
}

export interface ObjectNode extends Common {
  readonly kind: "object";
  readonly fields: ReadonlyMap<string, FieldNode>;
}

/** One of several objects, told apart by a field of constants, or by the field that only one of them has. */
export interface UnionNode extends Common {
  readonly kind: "union";
  readonly choose: (value: Readonly<Record<string, unknown>>) => SchemaNode | undefined;
  readonly expectation: string;
}

export type SchemaNode = StringNode | IntegerNode | ListNode | MapNode | ObjectNode | UnionNode;

declare const TYPE: unique symbol;

/** A node and, for the compiler alone, the type of the values that pass it. */
export interface Schema<T> {
  readonly node: SchemaNode;
  readonly [TYPE]?: T;
}

export interface OptionalField<T> {
  readonly presence: "optional";
  readonly schema: Schema<T>;
}

export interface DefaultedField<T> {
  readonly presence: "defaulted";
  readonly schema: Schema<T>;
  readonly defaultValue: T;
}

type Field = Schema<unknown> | OptionalField<unknown> | DefaultedField<unknown>;
type Fields = Readonly<Record<string, Field>>;

export type Infer<S> = S extends { readonly [TYPE]?: infer T } ? Exclude<T, undefined> : never;

type InferField<F> = F extends { readonly schema: infer S } ? Infer<S> : Infer<F>;

type Flat<T> = { readonly [K in keyof T]: T[K] };

type ObjectOf<F extends Fields> = Flat<
  {
    readonly [K in keyof F as F[K] extends OptionalField<unknown> ? never : K]: InferField<F[K]>;
  } & {
    readonly [K in keyof F as F[K] extends OptionalField<unknown> ? K : never]?: InferField<F[K]>;
  }
>;

interface StringOptions {
  readonly minLength?: number;
  readonly maxLength: number;
  readonly pattern?: string;
  readonly format?: "date-time";
}

export function string(options: StringOptions): Schema<string> {
  return { node: { kind: "string", minLength: 0, rules: [], ...options } };
}

export function oneOf<const V extends string>(values: readonly V[]): Schema<V> {
  const maxLength = Math.max(...values.map((value) => value.length));
  return { node: { kind: "string", minLength: 0, maxLength, values, rules: [] } };
}

export function integer(range: {
  readonly minimum: number;
  readonly maximum: number;
}): Schema<number> {
  return { node: { kind: "integer", rules: [], ...range } };
}

interface ListOptions {
  readonly minItems?: number;
  readonly maxItems: number;
}

export function listOf<T>(items: Schema<T>, options: ListOptions): Schema<readonly T[]> {
  return {
    node: {
      kind: "list",
      items: items.node,
      minItems: 0,
      listType: "atomic",
      rules: [],
      ...options,
    },
  };
}

/** Items are told apart by `key`, so that two owners can each apply their own. */
export function listMap<T>(
  key: keyof T & string,
  items: Schema<T>,
  options: ListOptions,
): Schema<readonly T[]> {
  return {
    node: {
      kind: "list",
      items: items.node,
      minItems: 0,
      listType: "map",
      key,
      rules: [],
      ...options,
    },
  };
}

export function listSet<T extends string>(
  items: Schema<T>,
  options: ListOptions,
): Schema<readonly T[]> {
  return {
    node: { kind: "list", items: items.node, minItems: 0, listType: "set", rules: [], ...options },
  };
}

export function mapOf<T>(
  values: Schema<T>,
  options: { readonly minProperties?: number; readonly maxProperties: number },
): Schema<Readonly<Record<string, T>>> {
  return { node: { kind: "map", values: values.node, minProperties: 0, rules: [], ...options } };
}

export function object<const F extends Fields>(fields: F): Schema<ObjectOf<F>> {
  const nodes = new Map(
    Object.entries(fields).map(([name, field]): [string, FieldNode] => [name, fieldNode(field)]),
  );
  return { node: { kind: "object", fields: nodes, rules: [] } };
}

/** Chosen by a field of constants: `tagged("kind", { known: object({ kind: oneOf(["known"]), … }), … })`. */
export function tagged<const M extends Readonly<Record<string, Schema<unknown>>>>(
  tag: string,
  members: M,
): Schema<Infer<M[keyof M]>> {
  const byTag = new Map(Object.entries(members).map(([value, schema]) => [value, schema.node]));
  const known = [...byTag.keys()].map((value) => JSON.stringify(value)).join(", ");
  return {
    node: {
      kind: "union",
      choose: (value) => byTag.get(String(value[tag])),
      expectation: `\`${tag}\` must be one of ${known}`,
      rules: [],
    },
  };
}

/** Chosen by the field that only one member has: `{ all: … } | { any: … }`. */
export function distinguished<const M extends Readonly<Record<string, Schema<unknown>>>>(
  members: M,
): Schema<Infer<M[keyof M]>> {
  const entries = Object.entries(members);
  return {
    node: {
      kind: "union",
      choose: (value) => entries.find(([field]) => Object.hasOwn(value, field))?.[1].node,
      expectation: `exactly one of ${entries.map(([field]) => `\`${field}\``).join(", ")} is required`,
      rules: [],
    },
  };
}

export function optional<T>(schema: Schema<T>): OptionalField<T> {
  return { presence: "optional", schema };
}

export function defaulted<T>(schema: Schema<T>, defaultValue: T): DefaultedField<T> {
  return { presence: "defaulted", schema, defaultValue };
}

export function described<T>(description: string, schema: Schema<T>): Schema<T> {
  return { node: { ...schema.node, description } };
}

interface RuleOf<T> extends Omit<SchemaRule, "holds"> {
  readonly holds: (value: T) => boolean;
}

/** Adds cross-field conditions. They are asked only when the value has the right shape. */
export function ruled<T>(schema: Schema<T>, rules: readonly RuleOf<T>[]): Schema<T> {
  const untyped = rules as readonly unknown[] as readonly SchemaRule[];
  return { node: { ...schema.node, rules: [...schema.node.rules, ...untyped] } };
}

function fieldNode(field: Field): FieldNode {
  if (!("presence" in field)) return { schema: field.node, presence: "required" };
  if (field.presence === "optional") return { schema: field.schema.node, presence: "optional" };
  return {
    schema: field.schema.node,
    presence: "defaulted",
    defaultValue: field.defaultValue,
  };
}
