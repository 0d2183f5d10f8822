/** What is wrong in a file, in the words that a person needs: where (file:line:column), which field, what to do. */

export interface FileProblem {
  readonly file: string;
  /** From 1; absent when the whole file is meant. */
  readonly line?: number;
  readonly column?: number;
  readonly severity: "error" | "warning";
  /** Stable; for machines. */
  readonly code: FileProblemCode;
  readonly message: string;
}

export type FileProblemCode =
  | "file.unreadable" // not there, no permission, not text
  | "file.too-large"
  | "file.empty" // nothing to enforce
  | "yaml.invalid" // not YAML, a key twice, an alias bomb
  | "document.kind" // not an object, or of a kind that is not ours
  | "document.duplicate" // one kind, namespace and name twice
  | "policy.invalid" // not of the schema
  | "policy.problem" // of the schema, and cannot be enforced as it is
  | "policy.suspicious"; // can be enforced, and hardly is what was meant

export function problemText(problem: FileProblem): string {
  const at = [problem.file, problem.line, problem.column].filter((part) => part !== undefined);
  return `${at.join(":")}: ${problem.severity}: ${problem.message}`;
}

export function hasErrors(problems: readonly FileProblem[]): boolean {
  return problems.some(({ severity }) => severity === "error");
}
