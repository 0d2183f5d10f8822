import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { compileSources, readSources } from "./load.ts";
import type { SourcesOptions } from "./load.ts";
import { problemText } from "./problem.ts";

const GOOD = `apiVersion: postern.dev/v1alpha1
kind: ApiSecurityPolicy
metadata: { name: orders, namespace: shop }
spec:
  selector: { matchLabels: { app: orders } }
  operations:
    undeclared: Deny
    rules:
      - { name: read, methods: [GET], path: "/orders/{orderId}" }
`;

function withKeys(reference: string): string {
  return `apiVersion: postern.dev/v1alpha1
kind: ApiSecurityPolicy
metadata: { name: keys, namespace: shop }
spec:
  selector: {}
  authentication:
    providers:
      - name: corp
        jwt:
          issuer: https://id.example.com
          audiences: [orders]
          jwks: ${reference}
`;
}

const JWKS =
  '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"6yt573bdTB_bof5VL2KZvB8rENsJzxpw2qxy64zx9_0"}]}';

function load(options: SourcesOptions) {
  return compileSources(readSources(options));
}

describe("compileSources(readSources())", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "postern-load-test-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function loaded(files: Readonly<Record<string, string | Buffer>>, paths?: readonly string[]) {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return load({ paths: paths ?? [folder], readStdin: () => "" });
  }

  /** Each problem as code and text, with the file's name only. */
  function problems(files: Readonly<Record<string, string | Buffer>>): string[] {
    return loaded(files).problems.map((problem) =>
      `${problem.code} ${problemText(problem)}`
        .replaceAll(`${folder}/`, "")
        .replaceAll(folder, "."),
    );
  }

  test("applies every policy of a folder to the one service, widest layer first", () => {
    const cluster = GOOD.replace("ApiSecurityPolicy", "ClusterApiSecurityPolicy")
      .replace(", namespace: shop", "")
      .replace("  selector:", "  namespaceSelector: { matchLabels: { env: prod } }\n  selector:");
    const { content, problems } = loaded({ "a.yaml": GOOD, "b.yml": cluster });
    expect(problems).toEqual([]);
    expect(content.layers.map(({ tier, policy }) => [tier, policy.kind])).toEqual([
      ["cluster", "ClusterApiSecurityPolicy"],
      ["workload", "ApiSecurityPolicy"],
    ]);
  });

  test("reads standard input for -", () => {
    const { content, problems } = load({ paths: ["-"], readStdin: () => GOOD });
    expect(problems).toEqual([]);
    expect(content.layers).toHaveLength(1);
  });

  test("reads what kubectl get -o yaml prints, with the line within the list", () => {
    const indented = GOOD.replace("Deny", "Denny")
      .split("\n")
      .map((line) => `    ${line}`)
      .join("\n")
      .replace("    apiVersion", "  - apiVersion");
    const text = `apiVersion: v1\nkind: List\nitems:\n${indented}`;
    expect(problems({ "list.yaml": text })).toEqual([
      'policy.invalid list.yaml:10:9: error: spec.operations.undeclared: Unsupported value: "Denny": supported values: "Deny", "Allow", "Observe"; did you mean "Deny"?',
    ]);
  });

  test("passes over manifests of other kinds beside a policy", () => {
    const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: orders }\n";
    expect(problems({ "a.yaml": `${deployment}---\n${GOOD}` })).toEqual([]);
  });

  test.each([
    ["an empty file", "", "file.empty .: error: holds no policy"],
    ["text that is not YAML", "spec: [1, 2\n", "yaml.invalid a.yaml:2:1: error: not YAML: "],
    ["a tab as indentation", "spec:\n\tselector: {}\n", "error: not YAML: indented with a tab"],
    [
      "a field twice",
      GOOD.replace("spec:", "spec:\n  mode: Enforce\n  mode: Observe"),
      'yaml.invalid a.yaml:6:3: error: the field "mode" stands here twice: remove one of them',
    ],
    [
      "an alias bomb",
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${"*a,".repeat(9)}]\nc: &c [${"*b,".repeat(9)}]\nd: [${"*c,".repeat(9)}]\n`,
      "yaml.invalid a.yaml:1:1: error: not YAML that can be read: Excessive alias count",
    ],
    ["very deep nesting", "[".repeat(20_000), "yaml.invalid a.yaml:1:"],
    [
      "a tag that would run code",
      "a: !!js/function x\n",
      "yaml.invalid a.yaml:1:4: error: not YAML:",
    ],
    [
      "a text instead of an object",
      "hello\n",
      "document.kind a.yaml:1:1: error: the document is not an object",
    ],
    [
      "an unknown kind",
      GOOD.replace("ApiSecurityPolicy", "Firewall"),
      'document.kind a.yaml:2:1: error: kind: Unsupported value: "Firewall"; supported are "ApiSecurityPolicy"',
    ],
    [
      "a misspelt kind",
      GOOD.replace("ApiSecurityPolicy", "ApiSecurityPolcy"),
      'document.kind a.yaml:2:1: error: kind: Unsupported value: "ApiSecurityPolcy"; did you mean "ApiSecurityPolicy"?',
    ],
    [
      "another version of the API",
      GOOD.replace("v1alpha1", "v1"),
      'document.kind a.yaml:1:1: error: apiVersion: Unsupported value: found "postern.dev/v1", "postern.dev/v1alpha1" is required',
    ],
    ["no kind at all", "spec: {}\n", "document.kind a.yaml:1:1: error: kind: Required value"],
    [
      "a misspelt field",
      GOOD.replace("undeclared", "undeclred"),
      'policy.invalid a.yaml:7:5: error: unknown field "spec.operations.undeclred"; did you mean "undeclared"?',
    ],
    [
      "a wrong enum",
      GOOD.replace("[GET]", "[GTE]"),
      'policy.invalid a.yaml:9:33: error: spec.operations.rules[0].methods[0]: Unsupported value: "GTE"',
    ],
    [
      "a path that cannot match",
      GOOD.replace("/orders/{orderId}", "/orders/../{orderId}"),
      "policy.invalid a.yaml:9:39: error: spec.operations.rules[0].path: Invalid value: path must not have a dot segment",
    ],
    [
      "two rules with one name",
      `${GOOD}      - { name: read, methods: [PUT], path: /x }\n`,
      'policy.invalid a.yaml:10:9: error: spec.operations.rules[1]: Duplicate value: {"name":"read"}',
    ],
    [
      "an empty list where empty would mean all",
      GOOD.replace("[GET]", "[]"),
      "policy.invalid a.yaml:9:23: error: spec.operations.rules[0].methods: Invalid value: 0: should have at least 1 items",
    ],
    [
      "one policy twice",
      `${GOOD}---\n${GOOD}`,
      "document.duplicate a.yaml:13:13: error: ApiSecurityPolicy/shop/orders stands in",
    ],
    [
      "inline keys that hold a private key",
      withKeys(`{ inline: '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"eA","d":"eA"}]}' }`),
      "error: spec.authentication.providers[0].jwt.jwks.inline: Invalid value: jwks.inline must hold public keys only",
    ],
    [
      "inline keys that are not JSON",
      withKeys(`{ inline: 'my "keys" are elsewhere' }`),
      "policy.problem a.yaml:12:19: error: spec.authentication.providers[0].jwt.jwks.inline: ",
    ],
    [
      "a Secret that is not in the files",
      withKeys("{ secretRef: { name: corp, key: jwks } }"),
      'warning: spec.authentication.providers[0].jwt.jwks: no keys for provider "corp": the given files hold no Secret shop/corp with the key "jwks"',
    ],
    [
      "a Secret whose data is not base64",
      "apiVersion: v1\nkind: Secret\nmetadata: { name: corp, namespace: shop }\ndata: { jwks: '{\"keys\":[]}' }\n",
      "policy.invalid a.yaml:4:9: error: data.jwks: Invalid value: base64 is required",
    ],
  ])("names place and remedy for %s", (_, text, expected) => {
    expect(problems({ "a.yaml": text })).toEqual(
      expect.arrayContaining([expect.stringContaining(expected)]),
    );
  });

  test("refuses a file that is not UTF-8, one that is too large, and one that is not there", () => {
    expect(problems({ "a.yaml": Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]) })).toEqual([
      "file.unreadable a.yaml: error: the file is not text in UTF-8",
    ]);
    expect(problems({ "a.yaml": "#".repeat(3 * 1024 * 1024) })[0]).toContain("file.too-large");
    const missing = load({ paths: [join(folder, "no.yaml")], readStdin: () => "" });
    expect(missing.problems).toMatchObject([
      { code: "file.unreadable", message: "no such file or folder" },
    ]);
  });

  test("refuses an empty folder", () => {
    mkdirSync(join(folder, "empty"));
    const { problems } = load({ paths: [join(folder, "empty")], readStdin: () => "" });
    expect(problems).toMatchObject([{ code: "file.empty" }]);
  });

  test("takes keys from a Secret and a ConfigMap of the files", () => {
    const secret = `apiVersion: v1\nkind: Secret\nmetadata: { name: corp, namespace: shop }\ndata: { jwks: ${Buffer.from(JWKS).toString("base64")} }\n`;
    const map = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: corp, namespace: shop }\ndata: { jwks: '${JWKS}' }\n`;
    for (const [reference, object] of [
      ["secretRef", secret],
      ["configMapRef", map],
    ] as const) {
      const policy = withKeys(`{ ${reference}: { name: corp, key: jwks } }`);
      const { content, problems } = loaded({ "a.yaml": `${policy}---\n${object}` });
      expect(problems).toEqual([]);
      expect(content.layers[0]?.authentication?.providers[0]?.keys).toMatchObject({
        kind: "known",
        jwks: [{ kty: "OKP" }],
      });
    }
  });

  test("a broken policy among good ones still closes its layer", () => {
    const broken = GOOD.replace("name: orders", "name: other").replace("[GET]", "[GTE]");
    const { content } = loaded({ "a.yaml": GOOD, "b.yaml": broken });
    expect(content.layers.map(({ policy, closed }) => [policy.name, closed?.code])).toEqual([
      ["orders", undefined],
      ["other", "policy.invalid"],
    ]);
  });

  test.each([
    ["/orders/:id", "a parameter is written {id}"],
    ["/orders/*", '"*" is compared as a star'],
    ["/orders/", 'this is another path than "/orders"'],
  ])("warns about the path %s", (path, message) => {
    expect(problems({ "a.yaml": GOOD.replace("/orders/{orderId}", path) })).toEqual([
      expect.stringContaining(message),
    ]);
  });
});
