/** Files → the bundle that a sidecar in front of one service enforces: every given policy applies to it. */
import type { BundleContent, WorkloadRef } from "../../policy/bundle.ts";
import { type Compiled, compileFor } from "../../policy/compile.ts";
import { policyId, policyRef } from "../../policy/policy-id.ts";
import { problemText } from "../../policy/problems.ts";
import type { KeyResolution, KeySource } from "../../policy/resources.ts";
import { readFiles } from "./documents.ts";
import { fileKeys } from "./keys.ts";
import { type PolicyFiles, readPolicies } from "./policies.ts";
import { type FileProblem, hasErrors } from "./problem.ts";

/** The one workload of file mode. Its name shows in reports and on the admin port. */
export const FILE_WORKLOAD: WorkloadRef = { namespace: "default", name: "files" };

export interface Loaded {
  /** What to enforce; what is broken in it is closed. */
  readonly content: BundleContent;
  /** By file and line. With an error among them, the content must not replace a good one. */
  readonly problems: readonly FileProblem[];
  /** Key sources that need the network. */
  readonly remote: readonly KeySource[];
  /** Every file that was read. */
  readonly files: readonly string[];
}

export interface SourcesOptions {
  readonly paths: readonly string[];
  readonly readStdin: () => string;
}

/** What stands in the files, before keys from the network are known. */
export interface Sources {
  readonly paths: readonly string[];
  readonly files: readonly string[];
  readonly read: PolicyFiles;
  readonly keys: ReadonlyMap<string, KeyResolution>;
  /** Key sources that need the network. */
  readonly remote: readonly KeySource[];
}

export function readSources({ paths, readStdin }: SourcesOptions): Sources {
  const { files, ...documents } = readFiles(paths, readStdin);
  const read = readPolicies({ files, ...documents });
  const { keys, remote } = fileKeys(
    read.policies.map(({ policy }) => policy),
    read.material,
  );
  return { paths, files, read, keys, remote };
}

/** `remoteKeys`: what the network told, by `keySourceId()`. */
export function compileSources(
  { paths, files, read, keys, remote }: Sources,
  remoteKeys: ReadonlyMap<string, KeyResolution> = new Map(),
): Loaded {
  const policies = read.policies.map(({ policy }) => policy);
  const compiled = compileFor(FILE_WORKLOAD, {
    policies,
    unreadable: read.unreadable,
    keys: new Map([...keys, ...remoteKeys]),
  });
  const problems = [...read.problems, ...placed(compiled.problems, read)];
  if (policies.length === 0 && !hasErrors(problems)) {
    const message = "holds no policy: an ApiSecurityPolicy or ClusterApiSecurityPolicy is needed";
    const file = paths.join(" ");
    problems.push({ file, severity: "error", code: "file.empty", message });
  }
  return { content: compiled.content, problems, remote, files };
}

/** Problems of the compiler, at the place of the field that they name. */
function placed(problems: Compiled["problems"], files: PolicyFiles): FileProblem[] {
  return problems.flatMap((problem): FileProblem[] => {
    const id = policyId(problem.policy);
    const source = files.policies.find(({ policy }) => policyId(policyRef(policy)) === id);
    // Without a source it is an unreadable policy, whose problems have been reported field by field.
    if (source === undefined) return [];
    const { line, column } = source.positionOf(problem.path);
    return [
      {
        file: source.file,
        line,
        column,
        severity: problem.severity,
        code: "policy.problem",
        message: problemText(problem),
      },
    ];
  });
}
