/** The policy that `postern dev` starts with, written for reading and editing. */

export const SAMPLE_NAMESPACE = "shop";
export const SAMPLE_LABELS = { app: "orders" } as const;
export const SAMPLE_FILE = "orders.yaml";

export function samplePolicy(issuer: string): string {
  return `# Edit and save: sidecars enforce the change within a second.
apiVersion: postern.dev/v1alpha1
kind: ApiSecurityPolicy
metadata:
  name: orders
  namespace: ${SAMPLE_NAMESPACE}
spec:
  selector:
    matchLabels:
      app: ${SAMPLE_LABELS.app}
  mode: Enforce # or Observe: decide and record, and let through
  authentication:
    providers:
      - name: dev
        jwt:
          issuer: ${issuer}
          audiences: [orders]
          jwks:
            discovery: {}
          claimsToHeaders:
            - claim: sub
              header: x-postern-subject
  operations:
    undeclared: Deny # what no rule declares, nobody may call
    rules:
      - name: list-orders
        methods: [GET]
        path: /orders
        scopes:
          any: [orders:read, orders:write]
      - name: read-order
        methods: [GET]
        path: /orders/{orderId}
        scopes:
          any: [orders:read, orders:write]
      - name: create-order
        methods: [POST]
        path: /orders
        scopes:
          all: [orders:write]
`;
}
