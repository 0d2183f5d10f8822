/** The schema of `status`, of the shape that policy/status.ts declares: what the controller found, per policy. */
import {
  described,
  integer,
  listMap,
  listOf,
  object,
  oneOf,
  optional,
  string,
} from "../schema/schema.ts";

const MAX = Number.MAX_SAFE_INTEGER;
const count = integer({ minimum: 0, maximum: MAX });

const condition = object({
  type: described(
    "Accepted: the policy is valid. Programmed: its bundles are published. Enforced: every sidecar enforces them.",
    string({ minLength: 1, maxLength: 316 }),
  ),
  status: described("True, False or Unknown.", oneOf(["True", "False", "Unknown"])),
  reason: described(
    "Why, as one CamelCase word.",
    string({ minLength: 1, maxLength: 1024, pattern: "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$" }),
  ),
  message: described(
    "For people: names the field, the sidecar, the remedy.",
    string({ maxLength: 32_768 }),
  ),
  observedGeneration: optional(
    described("Generation of the policy that this condition speaks of.", count),
  ),
  lastTransitionTime: described(
    "When `status` last changed.",
    string({ maxLength: 64, format: "date-time" }),
  ),
});

const workload = object({
  namespace: described("Namespace of the pods.", string({ maxLength: 63 })),
  name: described("Name derived from the pods' labels.", string({ maxLength: 253 })),
  revision: described("Revision of the workload's newest bundle.", count),
  digest: described("Digest of the bundle's content.", string({ maxLength: 128 })),
  sidecars: described("Pods of the workload that carry a sidecar.", count),
  enforcing: described("Sidecars that enforce this revision of the policy.", count),
});

export const policyStatus = described(
  "What the controller found; written by the controller only.",
  object({
    conditions: optional(
      described("Accepted, Programmed and Enforced.", listMap("type", condition, { maxItems: 8 })),
    ),
    observedGeneration: optional(
      described("Generation of the policy that this status speaks of.", count),
    ),
    workloads: optional(
      described(
        "The workloads that the policy selects, those that lag first; at most 100.",
        listOf(workload, { maxItems: 100 }),
      ),
    ),
    sidecars: optional(
      described(
        "Sidecars that enforce the policy, of all that should: `enforcing/all`.",
        string({ maxLength: 32 }),
      ),
    ),
  }),
);
