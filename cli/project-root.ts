/**
 * Where Postern's own folder is: the same from source (`cli/…`) and from a bundle (`dist/…`), since the
 * pinned Go modules of the real parts and the examples lie beside the code, not in it.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

export function projectRoot(from: string = import.meta.dirname): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (folder === dirname(folder)) return from;
  }
}
