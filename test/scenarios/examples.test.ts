/** Each example as its README says: the real service, `postern run` with its policy, and its requests one by one. */
import { globSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parse, parseAllDocuments } from "yaml";
import { exampleToken } from "../../examples/token.mjs";
import { ROOT, type Running, runCli, startCli, startProgram } from "../support/cli.ts";
import { type Relay, startRelay } from "../support/relay.ts";

interface ExampleRequest {
  readonly title: string;
  readonly send: {
    readonly method: string;
    readonly path: string;
    readonly token?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
  };
  readonly expect: {
    readonly status: number;
    readonly code?: string;
    readonly body?: string;
    readonly upstream?: "untouched";
  };
}

interface ExampleFile {
  readonly tokens?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly requests: readonly ExampleRequest[];
}

const FILES = globSync("examples/*/test/requests.yaml", { cwd: ROOT }).sort();

test("there are three examples", () => {
  expect(FILES).toHaveLength(3);
});

describe.each(FILES.map((file) => [basename(dirname(dirname(file))), dirname(dirname(file))]))(
  "%s",
  (_, folder) => {
    const file = parse(
      readFileSync(join(ROOT, folder, "test", "requests.yaml"), "utf8"),
    ) as ExampleFile;
    let service: Running;
    let relay: Relay;
    let postern: Running;
    let port = 0;

    beforeAll(async () => {
      service = startProgram(process.execPath, [join(folder, "service.mjs")], {
        env: { PORT: "0" },
      });
      relay = await startRelay(Number((await service.says(/serves on port (\d+)/))[1]));
      const policy = join(folder, "policy.yaml");
      const upstream = `http://127.0.0.1:${relay.port}`;
      postern = startCli(
        `run -f ${policy} --upstream ${upstream} --listen 127.0.0.1:0 --admin 127.0.0.1:0`.split(
          " ",
        ),
      );
      port = Number((await postern.says(/serves on http:\/\/127\.0\.0\.1:(\d+)/))[1]);
    });

    afterAll(async () => {
      const finished = await postern.stop();
      await relay.close();
      await service.stop();
      expect(finished.exitCode).toBe(0);
    });

    // Titles are of our own files; jest would read a percent sign in them as a placeholder.
    for (const { title, send, expect: wanted } of file.requests) {
      test(title, async () => {
        const before = relay.sent;
        const claims = send.token === undefined ? undefined : file.tokens?.[send.token];
        if (send.token !== undefined) expect(claims).toBeDefined();
        const answer = await ask(port, send, claims);
        expect({ status: answer.status, code: answer.code }).toEqual({
          status: wanted.status,
          code: wanted.code,
        });
        if (wanted.body !== undefined) expect(answer.body).toContain(wanted.body);
        if (wanted.upstream === "untouched") expect(relay.sent).toBe(before);
      });
    }

    test("postern lint finds no error in the policy", async () => {
      const { exitCode, stdout } = await runCli(["lint", join(folder, "policy.yaml")]);
      expect(stdout).toContain("0 errors");
      expect(exitCode).toBe(0);
    });

    test("the manifests select what the policy protects", () => {
      const documents = parseAllDocuments(
        readFileSync(join(ROOT, folder, "manifests.yaml"), "utf8"),
      ).map((document) => document.toJS() as Manifest);
      const deployment = documents.find(({ kind }) => kind === "Deployment");
      const labels = deployment?.spec?.template?.metadata?.labels ?? {};
      expect(labels["postern.dev/sidecar"]).toBe("enabled");
      const policies = parseAllDocuments(
        readFileSync(join(ROOT, folder, "policy.yaml"), "utf8"),
      ).map((document) => document.toJS() as Manifest);
      for (const policy of policies) {
        expect(labels).toMatchObject(policy.spec?.selector?.matchLabels ?? {});
        if (policy.metadata.namespace !== undefined) {
          expect(deployment?.metadata.namespace).toBe(policy.metadata.namespace);
        }
      }
    });
  },
);

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string };
  readonly spec?: {
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly template?: {
      readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
    };
  };
}

interface Answer {
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly body: string;
}

/** The path goes out as it stands, without any tidying. */
function ask(
  port: number,
  { method, path, headers, body }: ExampleRequest["send"],
  claims: Readonly<Record<string, unknown>> | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: "127.0.0.1",
      port,
      method,
      path,
      agent: false,
      headers: {
        ...headers,
        ...(claims !== undefined && { authorization: `Bearer ${exampleToken(claims)}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const isProblem = response.headers["content-type"] === "application/problem+json";
        const code = isProblem ? (JSON.parse(text) as { readonly code: string }).code : undefined;
        resolve({ status: response.statusCode, code, body: text });
      });
    });
    outgoing.end(body);
  });
}
