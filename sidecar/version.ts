/** The version of package.json: the bundler copies it in, so that a lone dist/ knows what it is. */
import manifest from "../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
