/**
 * What a policy may say and hardly means: warnings of `postern lint`. None of them changes what is enforced,
 * so each names what really happens.
 */
import type { Policy } from "../../policy/resources.ts";

export interface Suspicion {
  readonly path: string;
  readonly message: string;
}

export function suspicions({ spec }: Policy): Suspicion[] {
  const found: Suspicion[] = [];
  const warn = (path: string, message: string): void => void found.push({ path, message });

  const { authentication, operations } = spec;
  if (authentication !== undefined) {
    const at = "spec.authentication";
    if (authentication.providers.length === 0 && authentication.anonymous === "Deny") {
      warn(
        `${at}.providers`,
        "there is no provider, so nobody can authenticate and all is refused",
      );
    }
    for (const [index, { jwt }] of authentication.providers.entries()) {
      const provider = `${at}.providers[${index}].jwt`;
      if (jwt.audiences === undefined) {
        const message =
          "without audiences, a token that was made for any other service is accepted";
        warn(provider, message);
      }
      for (const [place, location] of jwt.locations.entries()) {
        if (location.query !== undefined) {
          const message = "tokens in the URL end up in logs and browser histories";
          warn(`${provider}.locations[${place}].query`, message);
        }
      }
    }
  }
  if (operations !== undefined) {
    const at = "spec.operations";
    if (operations.rules.length === 0 && operations.undeclared === "Deny") {
      warn(`${at}.rules`, "there is no rule, so every operation is undeclared and all is refused");
    }
    for (const [index, { path }] of operations.rules.entries()) {
      const message = pathSuspicion(path);
      if (message !== undefined) warn(`${at}.rules[${index}].path`, message);
    }
  }
  return found;
}

function pathSuspicion(path: string): string | undefined {
  const segments = path.split("/");
  const colon = segments.find((segment) => /^:[A-Za-z]/.test(segment));
  if (colon !== undefined) {
    return `"${colon}" is compared letter by letter: a parameter is written {${colon.slice(1)}}`;
  }
  if (segments.some((segment) => segment.includes("*"))) {
    return '"*" is compared as a star and matches nothing else: {name} matches one segment';
  }
  if (path.length > 1 && path.endsWith("/")) {
    return `this is another path than "${path.slice(0, -1)}": a request must have the slash, too`;
  }
  return undefined;
}
