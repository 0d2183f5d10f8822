/** `postern lint`: everything that can be known of policy files without a cluster and without the network. */
import { keySourceId } from "../../policy/key-sources.ts";
import type { KeyResolution } from "../../policy/resources.ts";
import { type Loaded, compileSources, readSources } from "../files/load.ts";
import { hasErrors, problemText } from "../files/problem.ts";
import { DONE, type Io, PROBLEM, json } from "../io.ts";

export async function lintCommand(
  paths: readonly string[],
  options: { readonly output: string },
  io: Io,
): Promise<number> {
  const { problems, content, files } = lint(paths, io.readStdin);
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const warnings = problems.length - errors;
  if (options.output === "json") {
    io.out(json({ policies: content.policies, problems, errors, warnings }));
  } else {
    for (const problem of problems) io.out(`${problemText(problem)}\n`);
    const counts = `${count(errors, "error")}, ${count(warnings, "warning")}`;
    const what = `${count(content.policies.length, "policy", "policies")} in ${count(files.length, "file")}`;
    io.out(`${what}: ${counts}\n`);
  }
  return hasErrors(problems) ? PROBLEM : DONE;
}

/** Keys behind a URL are not fetched, and that is no problem of the file: they count as there. */
function lint(paths: readonly string[], readStdin: () => string): Loaded {
  const sources = readSources({ paths, readStdin });
  const assumed = new Map<string, KeyResolution>(
    sources.remote.map((source) => [keySourceId(source), { kind: "known", jwks: [] }]),
  );
  return compileSources(sources, assumed);
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
