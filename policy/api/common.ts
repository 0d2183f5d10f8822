/** Pieces of schema that several sections of the policy use: names, modes, label selectors, references. */
import {
  described,
  listMap,
  listOf,
  listSet,
  mapOf,
  object,
  oneOf,
  optional,
  ruled,
  string,
} from "../schema/schema.ts";
import type { Infer } from "../schema/schema.ts";

const DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_NAME = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$";
const LABEL_VALUE = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
const LABEL_KEY = "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/** RFC 1123 label: what a provider or a rule is called. */
export const localName = string({ minLength: 1, maxLength: 63, pattern: DNS_LABEL });
export const objectName = string({ minLength: 1, maxLength: 253, pattern: DNS_NAME });

export const mode = oneOf(["Enforce", "Observe"]);

export const sectionMode = described(
  "Whether this section refuses (Enforce) or only records what it would refuse (Observe). Absent: as `spec.mode` says.",
  mode,
);

const labelKey = string({ minLength: 1, maxLength: 317, pattern: LABEL_KEY });
const labelValue = string({ maxLength: 63, pattern: LABEL_VALUE });

const matchExpression = ruled(
  object({
    key: described("The label's key.", labelKey),
    operator: described(
      "How the label's value relates to `values`.",
      oneOf(["In", "NotIn", "Exists", "DoesNotExist"]),
    ),
    values: optional(
      described(
        "Required for In and NotIn; must be absent for Exists and DoesNotExist.",
        listSet(labelValue, { minItems: 1, maxItems: 32 }),
      ),
    ),
  }),
  [
    {
      cel: "(self.operator in ['In', 'NotIn']) == has(self.values)",
      message:
        "values is required for In and NotIn, and must be absent for Exists and DoesNotExist",
      holds: ({ operator, values }) =>
        (operator === "In" || operator === "NotIn") === (values !== undefined),
    },
  ],
);

/** As in Kubernetes, with one difference: an empty part is an error, `{}` alone means "all". */
export const labelSelector = object({
  matchLabels: optional(
    described(
      "Labels that must all be there with these values.",
      mapOf(labelValue, { minProperties: 1, maxProperties: 32 }),
    ),
  ),
  matchExpressions: optional(
    described(
      "Conditions that must all hold.",
      listOf(matchExpression, { minItems: 1, maxItems: 32 }),
    ),
  ),
});
export type LabelSelector = Infer<typeof labelSelector>;

const targetRef = object({
  group: described('API group: "" (core), the only one at present.', oneOf([""])),
  kind: described("The only kind at present.", oneOf(["Service"])),
  name: described("Name of the Service, in the policy's namespace.", objectName),
});

export const targetRefs = described(
  "Services whose pods the policy protects. Exactly one of `selector` and `targetRefs` is required.",
  listMap("name", targetRef, { minItems: 1, maxItems: 16 }),
);

/** A key of a Secret or ConfigMap in the policy's namespace. */
export const keyRef = object({
  name: described("Name of the object, in the policy's namespace.", objectName),
  key: described(
    "Key within its data.",
    string({ minLength: 1, maxLength: 253, pattern: "^[-._A-Za-z0-9]+$" }),
  ),
});
