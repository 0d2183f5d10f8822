/** Every command as its users meet it: the built program, its words, its exit code. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { ROOT, runCli, startCli } from "../support/cli.ts";

const ORDERS = "examples/orders-api/policy.yaml";
const COMMANDS = "run dev lint compile status sidecar controller version completion".split(" ");

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-cli-test-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function ordersWith(from: string, to: string): string {
  const text = readFileSync(join(ROOT, ORDERS), "utf8");
  expect(text).toContain(from);
  return file("policy.yaml", text.replace(from, to));
}

function lineOf(text: string): number {
  const lines = readFileSync(join(ROOT, ORDERS), "utf8").split("\n");
  return lines.findIndex((line) => line.includes(text)) + 1;
}

describe("postern", () => {
  test("says what it can do, with exit code 0 when asked and 2 when not", async () => {
    const asked = await runCli(["--help"]);
    expect(asked.exitCode).toBe(0);
    for (const command of COMMANDS) expect(asked.stdout).toContain(`\n  ${command}`);
    const silent = await runCli([]);
    expect(silent.exitCode).toBe(2);
  });

  test.each(COMMANDS)(
    "%s --help says what it does and shows an example or its settings",
    async (command) => {
      const { exitCode, stdout } = await runCli([command, "--help"]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`Usage: postern ${command}`);
      expect(stdout).toMatch(/Examples:|POSTERN_|Show the version/);
    },
  );

  test.each([
    [["frobnicate"], "error: unknown command 'frobnicate'"],
    [["lnt", ORDERS], "Did you mean lint?"],
    [["lint"], "error: missing required argument 'file'"],
    [["lint", ORDERS, "--outptu", "json"], "Did you mean --output?"],
    [["lint", ORDERS, "--output", "xml"], "Allowed choices are text, json"],
    [["run", "--upstream", "http://127.0.0.1:1"], "required option '-f, --file <path...>'"],
    [["run", "-f", ORDERS], "required option '--upstream <url>'"],
    [
      ["run", "-f", ORDERS, "--upstream", "127.0.0.1"],
      "--upstream must be like http://127.0.0.1:3000",
    ],
    [
      ["run", "-f", ORDERS, "--upstream", "http://127.0.0.1:1", "--listen", "nowhere"],
      "--listen must be HOST:PORT, like 127.0.0.1:8080",
    ],
    [
      ["run", "-f", ORDERS, "--upstream", "http://127.0.0.1:1", "--tls-cert", "a"],
      "--tls-cert and --tls-key: one is useless without the other",
    ],
    [
      ["run", "-f", ORDERS, "--upstream", "http://127.0.0.1:1", "--tls-client-ca", "a"],
      "--tls-client-ca needs --tls-cert and --tls-key",
    ],
    [["dev", "--sidecars", "0"], "It must be a whole number from 1 to 50"],
    [["dev", "--nats", "http://x"], "--nats must be like nats://127.0.0.1:4222"],
    [["dev", "--nats", "nats://x", "--in-process"], "cannot be used with option"],
    [["dev", "--demo", "--policy", "."], "--demo plays with a policy of its own"],
    [["dev", "--policy", ORDERS], "--policy must be a folder: found the file"],
    [["completion", "powershell"], "It must be one of bash, zsh, fish"],
  ])("%j is wrong usage: exit code 2 and a sentence, no stack", async (args, sentence) => {
    const { exitCode, stderr } = await runCli(args);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain("    at ");
    expect(exitCode).toBe(2);
  });
});

describe("docs/reference/cli.md", () => {
  test("has every command with its options", async () => {
    const page = readFileSync(join(ROOT, "docs", "reference", "cli.md"), "utf8");
    for (const command of COMMANDS) {
      expect(page).toContain(`postern ${command}`);
      const { stdout } = await runCli([command, "--help"]);
      for (const [, option = ""] of stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)) {
        if (option !== "--help") expect(page).toContain(option);
      }
    }
  });
});

describe("postern version", () => {
  test("tells both versions, also as JSON", async () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as object;
    const { stdout } = await runCli(["version", "--output", "json"]);
    expect(JSON.parse(stdout)).toEqual({
      postern: (manifest as { readonly version: string }).version,
      node: process.version,
    });
    expect((await runCli(["version"])).stdout).toMatch(/^postern \d+\.\d+\.\d+ \(Node v\d+/);
  });
});

describe("postern completion", () => {
  test.each([
    ["bash", "complete -o filenames -F _postern postern"],
    ["zsh", "compdef _postern postern"],
    ["fish", "complete -c postern -n __fish_use_subcommand -f -a lint"],
  ])("%s knows commands and options", async (shell, line) => {
    const { exitCode, stdout } = await runCli(["completion", shell]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(line);
    for (const command of COMMANDS) expect(stdout).toContain(command);
    expect(stdout).toMatch(/upstream/);
  });
});

describe("postern lint", () => {
  test("accepts the examples", async () => {
    const { exitCode, stdout } = await runCli(["lint", ORDERS, "examples/catalog-public"]);
    expect(stdout).toBe("2 policies in 3 files: 0 errors, 0 warnings\n");
    expect(exitCode).toBe(0);
  });

  test("reads standard input", async () => {
    const stdin = readFileSync(join(ROOT, ORDERS), "utf8");
    const { exitCode, stdout } = await runCli(["lint", "-"], { stdin });
    expect(stdout).toBe("1 policy in 1 file: 0 errors, 0 warnings\n");
    expect(exitCode).toBe(0);
  });

  test("does not ask the network for keys behind a URL", async () => {
    let asked = 0;
    const server = createServer((_, response) => {
      asked += 1;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const text = readFileSync(join(ROOT, ORDERS), "utf8");
    const path = file(
      "policy.yaml",
      text.replace(/inline: .*/, `uri: http://127.0.0.1:${port}/jwks`),
    );
    const { exitCode, stdout } = await runCli(["lint", path]);
    server.close();
    expect(stdout).toBe("1 policy in 1 file: 0 errors, 0 warnings\n");
    expect(exitCode).toBe(0);
    expect(asked).toBe(0);
  });

  // How each kind of mistake is told stands in cli/files/load.test.ts; here is how the command hands it on.
  test("tells a mistake by file, line, column and field, and ends with 1", async () => {
    const path = ordersWith("undeclared: Deny", "undeclred: Deny");
    const { exitCode, stdout } = await runCli(["lint", path]);
    expect(stdout.split("\n")[0]).toBe(
      `${path}:${lineOf("undeclared: Deny")}:5: error: unknown field "spec.operations.undeclred"; did you mean "undeclared"?`,
    );
    expect(stdout).toContain("1 error, 0 warnings");
    expect(exitCode).toBe(1);
  });

  test("tells the same to machines", async () => {
    const path = ordersWith("audiences: [orders]", "audience: [orders]");
    const { exitCode, stdout } = await runCli(["lint", path, "--output", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      errors: 1,
      problems: [
        { file: path, line: lineOf("audiences:"), severity: "error", code: "policy.invalid" },
      ],
    });
    expect(exitCode).toBe(1);
  });

  test("a warning alone is no failure", async () => {
    const { exitCode, stdout } = await runCli([
      "lint",
      ordersWith("/orders/{orderId}", "/orders/:id"),
    ]);
    expect(stdout).toContain("warning: spec.operations.rules[1].path: ");
    expect(exitCode).toBe(0);
  });

  test("names a file that is not there", async () => {
    const { exitCode, stdout } = await runCli(["lint", join(folder, "none.yaml")]);
    expect(stdout).toContain("none.yaml: error: no such file or folder");
    expect(exitCode).toBe(1);
  });
});

describe("postern compile", () => {
  test("prints the bundle, the same in YAML and JSON", async () => {
    const yaml = await runCli(["compile", ORDERS]);
    const json = await runCli(["compile", ORDERS, "--output", "json"]);
    expect([yaml.exitCode, json.exitCode]).toEqual([0, 0]);
    const { bundle } = JSON.parse(json.stdout) as { readonly bundle: object };
    expect(parse(yaml.stdout)).toEqual(bundle);
    expect(bundle).toMatchObject({
      policies: [{ kind: "ApiSecurityPolicy", namespace: "shop", name: "orders" }],
      layers: [{ tier: "workload", operations: { undeclared: "Deny" } }],
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    });
  });

  test("closes what is broken, says why, and ends with 1", async () => {
    const path = ordersWith("mode: Enforce", "mode: Enforced");
    const { exitCode, stdout, stderr } = await runCli(["compile", path, "--output", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      bundle: { layers: [{ closed: { code: "policy.invalid" } }] },
    });
    expect(stderr).toContain('spec.mode: Unsupported value: "Enforced"');
    expect(exitCode).toBe(1);
  });
});

describe("postern run", () => {
  test("does not start with a wrong policy", async () => {
    const path = ordersWith("methods: [POST]", "methods: []");
    const { exitCode, stderr } = await runCli([
      "run",
      "-f",
      path,
      "--upstream",
      "http://127.0.0.1:1",
    ]);
    expect(stderr).toContain("spec.operations.rules[2].methods: ");
    expect(stderr).toContain("not started");
    expect(exitCode).toBe(1);
  });

  test("says which address is taken", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const upstream = "http://127.0.0.1:1";
    const { exitCode, stderr } = await runCli(
      `run -f ${ORDERS} --upstream ${upstream} --listen 127.0.0.1:${port} --admin 127.0.0.1:0`.split(
        " ",
      ),
    );
    server.close();
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr).toContain("EADDRINUSE");
    expect(stderr).not.toContain("    at ");
    expect(exitCode).toBe(1);
  });
});

describe("postern status", () => {
  test("says what to do without a kubeconfig", async () => {
    const env = { HOME: folder, KUBECONFIG: undefined };
    const { exitCode, stderr } = await runCli(["status"], { env });
    expect(stderr).toContain("use --kubeconfig FILE or set KUBECONFIG");
    expect(exitCode).toBe(1);
  });

  test("says that nobody answers", async () => {
    const kubeconfig = file(
      "config",
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "here",
        contexts: [{ name: "here", context: { cluster: "here", user: "me" } }],
        clusters: [{ name: "here", cluster: { server: "http://127.0.0.1:1" } }],
        users: [{ name: "me", user: {} }],
      }),
    );
    const { exitCode, stderr } = await runCli(["status", "--kubeconfig", kubeconfig]);
    expect(stderr).toContain("no answer from the API server");
    expect(stderr).not.toContain("    at ");
    expect(exitCode).toBe(1);
  });
});

describe("the container entry points", () => {
  const running = new Set<ReturnType<typeof startCli>>();
  afterAll(async () => {
    for (const process of running) await process.stop();
  });

  test.each(["sidecar", "controller"])(
    "%s names every setting that is missing",
    async (command) => {
      const process = startCli([command], {
        env: { PATH: "/usr/bin", POSTERN_NATS_URL: undefined },
      });
      running.add(process);
      const { exitCode, stderr } = await process.finished;
      running.delete(process);
      expect(stderr).toContain("Cannot read settings:");
      expect(stderr).toContain("POSTERN_NATS_URL: is required");
      expect(exitCode).toBe(1);
    },
  );
});
