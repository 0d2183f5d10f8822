/** `spec.operations`: the positive model. What may be called, and by whom; anything else is undeclared. */
import {
  defaulted,
  described,
  listMap,
  listSet,
  object,
  oneOf,
  optional,
  ruled,
  string,
} from "../schema/schema.ts";
import type { Infer } from "../schema/schema.ts";
import { METHODS } from "../methods.ts";
import { localName, sectionMode } from "./common.ts";

const MAX_RULES = 128;

/** RFC 6749 §3.3: printable ASCII without space, quote and backslash. */
const scope = string({ minLength: 1, maxLength: 128, pattern: "^[!#-\\[\\]-~]+$" });
const scopeList = listSet(scope, { minItems: 1, maxItems: 16 });

/** Each says one way in which a template can never match a path in normal form. */
const path = ruled(string({ minLength: 1, maxLength: 512 }), [
  {
    cel: "self.startsWith('/')",
    message: "path must start with a slash",
    holds: (text) => text.startsWith("/"),
  },
  {
    cel: "!self.contains('//')",
    message: "path must not have an empty segment (//)",
    holds: (text) => !text.includes("//"),
  },
  {
    cel: "!self.matches('(^|/)(\\\\.|%2[eE]){1,2}(/|$)')",
    message: "path must not have a dot segment (. or ..)",
    holds: (text) => !/(^|\/)(\.|%2[eE]){1,2}(\/|$)/.test(text),
  },
  {
    cel: "!self.matches('[?#;\\\\\\\\]')",
    message: "path must not have a query, a fragment, a path parameter or a backslash (? # ; \\)",
    holds: (text) => !/[?#;\\]/.test(text),
  },
  {
    cel: "!self.matches('%(2[fF]|5[cC]|25|3[bB]|[0-1][0-9a-fA-F]|7[fF])')",
    message:
      "path must not have an encoded slash, backslash, percent sign, semicolon or control character",
    holds: (text) => !/%(2[fF]|5[cC]|25|3[bB]|[0-1][0-9a-fA-F]|7[fF])/.test(text),
  },
  {
    cel: "!self.matches('[\\\\x00-\\\\x20\\\\x7f]')",
    message: "path must not have a space or a control character",
    // The characters are the point of this rule.
    // oxlint-disable-next-line no-control-regex
    holds: (text) => !/[\x00-\x20\x7f]/.test(text),
  },
  {
    cel: "!self.matches('[^/][{]|[}][^/]|[{]([^A-Za-z_]|$)|[{][A-Za-z0-9_-]*([^A-Za-z0-9_}-]|$)|(^|/)[^{/]*[}]')",
    message:
      "path must have parameters as whole segments, like /orders/{orderId} (letters, digits, _ and -)",
    holds: (text) =>
      !/[^/][{]|[}][^/]|[{]([^A-Za-z_]|$)|[{][A-Za-z0-9_-]*([^A-Za-z0-9_}-]|$)|(^|\/)[^{/]*[}]/.test(
        text,
      ),
  },
]);

const rule = object({
  name: described("Stands in decision records and denials.", localName),
  methods: described(
    "HTTP methods. GET does not include HEAD.",
    listSet(oneOf(METHODS), { minItems: 1, maxItems: METHODS.length }),
  ),
  path: described(
    "Path template, as in OpenAPI: `{orderId}` stands for one non-empty segment. Compared whole and with case.",
    path,
  ),
  providers: optional(
    described(
      "Providers of this policy by which the caller must have authenticated. Absent: any, or none where callers may be anonymous.",
      listSet(localName, { minItems: 1, maxItems: 16 }),
    ),
  ),
  scopes: optional(
    described(
      "Scopes that the caller's token must have: exactly one of `all` and `any`.",
      ruled(
        object({
          all: optional(described("The token must have all of these.", scopeList)),
          any: optional(described("The token must have one of these.", scopeList)),
        }),
        [
          {
            cel: "has(self.all) != has(self.any)",
            message: "exactly one of scopes.all and scopes.any is required",
            holds: ({ all, any }) => (all === undefined) !== (any === undefined),
          },
        ],
      ),
    ),
  ),
});
export type RuleSpec = Infer<typeof rule>;

export const operations = ruled(
  object({
    mode: optional(sectionMode),
    undeclared: defaulted(
      described(
        "What happens to a method and path that no rule declares: Deny, Allow, or Observe (record and let through).",
        oneOf(["Deny", "Allow", "Observe"]),
      ),
      "Deny",
    ),
    rules: defaulted(
      described(
        "What may be called. The most specific path decides, then its method; no two rules may cover one operation.",
        listMap("name", rule, { maxItems: MAX_RULES }),
      ),
      [],
    ),
  }),
  [
    {
      cel: "!has(self.rules) || self.rules.all(a, self.rules.exists_one(b, a.path == b.path && a.methods.exists(m, m in b.methods)))",
      message: "rules must not declare one method and path twice",
      fieldPath: ".rules",
      holds: ({ rules }) => {
        const seen = rules.flatMap((x) => x.methods.map((method) => `${method} ${x.path}`));
        return new Set(seen).size === seen.length;
      },
    },
  ],
);
export type OperationsSpec = Infer<typeof operations>;
