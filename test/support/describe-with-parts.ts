/**
 * A suite whose part is missing is not run, and the runner says so in its last lines with the remedy (with
 * CI=true that is a failure): nothing passes silently.
 */
import { describe } from "@jest/globals";
import { type PartName, lookUp } from "./parts.ts";

/** Like `describe`, for a suite that needs these parts; `paths` holds exactly those that it names. */
export async function describeWithParts<const Name extends PartName>(
  names: readonly Name[],
  title: string,
  body: (paths: Readonly<Record<Name, string>>) => void,
): Promise<void> {
  const paths = {} as Record<Name, string>;
  const missing: string[] = [];
  for (const name of names) {
    const obtained = await lookUp(name);
    if (obtained.kind === "found") paths[name] = obtained.path;
    else missing.push(name);
  }
  if (missing.length === 0) describe(title, () => body(paths));
  else describe.skip(`${title} (not run: ${missing.join(", ")} is missing)`, () => body(paths));
}
