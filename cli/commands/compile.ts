/** `postern compile`: the bundle as a sidecar would enforce it, for review and for diffs in a pull request. */
import { stringify } from "yaml";
import { digestOf } from "../../policy/encode.ts";
import { compileSources, readSources } from "../files/load.ts";
import { hasErrors, problemText } from "../files/problem.ts";
import { DONE, type Io, PROBLEM, json } from "../io.ts";

export async function compileCommand(
  paths: readonly string[],
  options: { readonly output: string },
  io: Io,
): Promise<number> {
  const { content, problems } = compileSources(readSources({ paths, readStdin: io.readStdin }));
  const bundle = { ...content, digest: digestOf(content) };
  if (options.output === "json") {
    io.out(json({ bundle, problems }));
  } else {
    io.out(stringify(bundle, { aliasDuplicateObjects: false }));
  }
  // Also beside JSON: whoever pipes the bundle on still sees what is wrong with it.
  for (const problem of problems) io.err(`${problemText(problem)}\n`);
  return hasErrors(problems) ? PROBLEM : DONE;
}
