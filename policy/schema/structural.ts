/** A schema as the API server reads it: OpenAPI v3, structural, with list types, bounds, defaults and CEL rules. */
import type { ObjectNode, SchemaNode } from "./schema.ts";

export type JsonObject = { readonly [key: string]: unknown };

export function structural(node: SchemaNode): JsonObject {
  return {
    ...(node.description === undefined ? {} : { description: node.description }),
    ...shape(node),
    ...validations(node),
  };
}

function shape(node: SchemaNode): JsonObject {
  switch (node.kind) {
    case "string":
      return {
        type: "string",
        ...(node.values === undefined
          ? {
              ...(node.minLength === 0 ? {} : { minLength: node.minLength }),
              maxLength: node.maxLength,
            }
          : { enum: node.values, maxLength: node.maxLength }),
        ...(node.pattern === undefined ? {} : { pattern: node.pattern }),
        ...(node.format === undefined ? {} : { format: node.format }),
      };
    case "integer":
      return { type: "integer", format: "int64", minimum: node.minimum, maximum: node.maximum };
    case "list":
      return {
        type: "array",
        ...(node.minItems === 0 ? {} : { minItems: node.minItems }),
        maxItems: node.maxItems,
        "x-kubernetes-list-type": node.listType,
        ...(node.key === undefined ? {} : { "x-kubernetes-list-map-keys": [node.key] }),
        items: structural(node.items),
      };
    case "map":
      return {
        type: "object",
        ...(node.minProperties === 0 ? {} : { minProperties: node.minProperties }),
        maxProperties: node.maxProperties,
        additionalProperties: structural(node.values),
      };
    case "object":
      return objectShape(node);
    case "union":
      throw new TypeError(
        "Cannot write a union into a CRD: the API server knows none, use optional fields and a rule",
      );
  }
}

function objectShape(node: ObjectNode): JsonObject {
  const fields = [...node.fields];
  const required = fields
    .filter(([, field]) => field.presence === "required")
    .map(([name]) => name);
  const properties = fields.map(([name, { schema, presence, defaultValue }]) => [
    name,
    { ...structural(schema), ...(presence === "defaulted" ? { default: defaultValue } : {}) },
  ]);
  return {
    type: "object",
    ...(required.length === 0 ? {} : { required }),
    ...(fields.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
  };
}

function validations(node: SchemaNode): JsonObject {
  if (node.rules.length === 0) return {};
  return {
    "x-kubernetes-validations": node.rules.map(({ cel, message, fieldPath }) => {
      if (cel === undefined) {
        throw new TypeError(`Cannot write a rule into a CRD without its CEL: "${message}"`);
      }
      return { rule: cel, message, ...(fieldPath === undefined ? {} : { fieldPath }) };
    }),
  };
}
