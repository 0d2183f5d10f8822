/**
 * All commands, their options and their help, in one place to read. What a command does lies in commands/ and
 * is loaded when it runs, so that `postern lint` does not pay for the Kubernetes client.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { completionScript } from "./completion.ts";
import { describe } from "../runtime/error.ts";
import { type Io, PROBLEM, UsageError, WRONG_USAGE, json } from "./io.ts";
import { VERSION } from "../sidecar/version.ts";

type Action = (...args: never[]) => Promise<number>;

export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  let code = 0;
  const program = createProgram(io, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) {
      const isAnswer = error.code === "commander.helpDisplayed" || error.code === "commander.help";
      return error.exitCode === 0 || (isAnswer && args.length > 0) ? 0 : WRONG_USAGE;
    }
    if (error instanceof UsageError) {
      io.err(`${error.message}\n`);
      return WRONG_USAGE;
    }
    if (io.signal.aborted) return 0;
    // A TypeError is ours, and its stack is what a report needs; anything else is the world's doing.
    const isOurs = error instanceof TypeError || error instanceof RangeError;
    io.err(isOurs ? `postern: ${error.stack ?? describe(error)}\n` : `${describe(error)}\n`);
    return PROBLEM;
  }
}

export function createProgram(io: Io, done: (code: number) => void): Command {
  /** Hands what the loaded command returns to the caller. */
  const action =
    (load: () => Promise<Action>) =>
    async (...values: unknown[]): Promise<void> => {
      const run = (await load()) as (...args: unknown[]) => Promise<number>;
      // Commander appends the command itself.
      done(await run(...values.slice(0, -1), io));
    };

  const program = new Command("postern")
    .description(
      "API security in front of every service: one small sidecar per pod, from one policy.",
    )
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .showHelpAfterError("(postern --help shows what is possible)")
    .configureHelp({ showGlobalOptions: false })
    .enablePositionalOptions();

  program
    .command("run")
    .summary("protect one service with policies from files, without a cluster")
    .description(
      "Protect one service with policies from files: no cluster, no NATS. Every given policy applies to the one " +
        "service. Saving a file, or SIGHUP, loads them again; a file that is wrong changes nothing.",
    )
    .requiredOption("-f, --file <path...>", "policy file, folder, or - for standard input")
    .requiredOption(
      "--upstream <url>",
      "the service, like http://127.0.0.1:3000 or unix:/run/app.sock",
    )
    .option("--listen <address>", "where to serve", "127.0.0.1:8080")
    .option(
      "--admin <address>",
      "where to serve health, metrics and /debug/bundle",
      "127.0.0.1:8081",
    )
    .option("--tls-cert <file>", "certificate for TLS (PEM); connections without TLS go on")
    .option("--tls-key <file>", "its private key (PEM)")
    .option("--tls-client-ca <file>", "CAs of client certificates (PEM)")
    .addOption(logLevel())
    .addHelpText(
      "after",
      examples(
        "postern run -f examples/orders-api/policy.yaml --upstream http://127.0.0.1:3000",
        "postern run -f policies/ --upstream http://127.0.0.1:3000 --listen :8080",
      ),
    )
    .action(action(async () => (await import("./commands/run.ts")).runCommand));

  program
    .command("dev")
    .summary("run the whole product on this machine and try a policy")
    .description(
      "Run the whole product on this machine: a controller that reads a policy folder, a real NATS server, sidecars, " +
        "a sample service and a token issuer. Edit the policy and watch.",
    )
    .option("--policy <folder>", "folder with policies; without it, a sample is made")
    .option("--sidecars <n>", "how many sidecars", integer(1, 50), 2)
    .option("--demo", "play the story by itself, check every step, and end")
    .addOption(
      new Option("--nats <url>", "use this NATS server instead of starting one").conflicts(
        "inProcess",
      ),
    )
    .option("--in-process", "no NATS: a bus inside this process")
    .addHelpText(
      "after",
      examples("postern dev", "postern dev --policy ./policies", "postern dev --demo"),
    )
    .action(action(async () => (await import("./commands/dev.ts")).devCommand));

  program
    .command("lint")
    .summary("check policy files")
    .description(
      "Check policy files against the schema and compile them. Exit code 1 when there is an error.",
    )
    .argument("<file...>", "policy file, folder, or - for standard input")
    .addOption(output("text", "json"))
    .addHelpText(
      "after",
      examples("postern lint policies/", "kubectl get asp -A -o yaml | postern lint -"),
    )
    .action(action(async () => (await import("./commands/lint.ts")).lintCommand));

  program
    .command("compile")
    .summary("show what a sidecar would enforce")
    .description(
      "Compile policy files and print the bundle that a sidecar would enforce, without its signature.",
    )
    .argument("<file...>", "policy file, folder, or - for standard input")
    .addOption(output("yaml", "json"))
    .addHelpText(
      "after",
      examples("postern compile policy.yaml", "postern compile policies/ --output json"),
    )
    .action(action(async () => (await import("./commands/compile.ts")).compileCommand));

  program
    .command("status")
    .summary("show which sidecars enforce which policy")
    .description(
      "Read policies from the API server and show how many sidecars enforce each, and which lag.",
    )
    .argument("[policy]", "name of one policy")
    .option(
      "-n, --namespace <namespace>",
      "namespace; without it, that of the kubeconfig's context",
    )
    .option("-A, --all-namespaces", "every namespace")
    .option("--kubeconfig <file>", "kubeconfig; without it, KUBECONFIG or ~/.kube/config")
    .addOption(output("table", "wide", "json"))
    .addHelpText(
      "after",
      examples("postern status -A", "postern status orders -n shop --output wide"),
    )
    .action(action(async () => (await import("./commands/status.ts")).statusCommand));

  program
    .command("sidecar")
    .summary("run a sidecar in a pod (configured by POSTERN_* variables)")
    .description(
      "The sidecar's entry point in a container. Configured by POSTERN_* variables and mounted files.",
    )
    .action(action(async () => (await import("./commands/sidecar.ts")).sidecarCommand));

  program
    .command("controller")
    .summary("run the controller (configured by POSTERN_* variables)")
    .description(
      "The controller's entry point in a container. Configured by POSTERN_* variables and mounted files.",
    )
    .action(action(async () => (await import("./commands/controller.ts")).controllerCommand));

  program
    .command("version")
    .summary("show the version")
    .description("Show the version of Postern and of the Node that runs it.")
    .addOption(output("text", "json"))
    .action((options: { readonly output: string }) => {
      const version = { postern: VERSION, node: process.version };
      io.out(
        options.output === "json"
          ? json(version)
          : `postern ${version.postern} (Node ${version.node})\n`,
      );
    });

  program
    .command("completion")
    .summary("print a completion script")
    .description("Print a script that completes commands and options in your shell.")
    .argument("<shell>", "bash, zsh or fish", oneOf("bash", "zsh", "fish"))
    .addHelpText(
      "after",
      examples(
        "source <(postern completion bash)",
        "postern completion fish > ~/.config/fish/completions/postern.fish",
      ),
    )
    .action((shell: "bash" | "zsh" | "fish") => io.out(completionScript(program, shell)));

  for (const command of program.commands) {
    command.exitOverride().configureOutput({ writeOut: io.out, writeErr: io.err });
    command.showHelpAfterError(`(postern ${command.name()} --help shows what is possible)`);
  }
  return program;
}

function output(...formats: readonly [string, ...string[]]): Option {
  return new Option("--output <format>", "how to print").choices(formats).default(formats[0]);
}

function logLevel(): Option {
  return new Option("--log-level <level>", "log from this level on, to standard output")
    .choices(["debug", "info", "warn", "error"])
    .default("info");
}

function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}

function oneOf(...words: readonly string[]): (text: string) => string {
  return (text) => {
    if (!words.includes(text))
      throw new InvalidArgumentError(`It must be one of ${words.join(", ")}.`);
    return text;
  };
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
