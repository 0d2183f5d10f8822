/**
 * Path templates as OpenAPI writes them: `/orders/{orderId}`. A template that no request in normal form could
 * ever match is a mistake of its author and is refused here; what is accepted compares whole, decoded, with case.
 */
import type { PathSegment, PathTemplate } from "./bundle.ts";

export type PathTemplateReading =
  | { readonly kind: "template"; readonly template: PathTemplate }
  | { readonly kind: "problem"; readonly message: string };

export const MAX_TEMPLATE_LENGTH = 512;
export const MAX_TEMPLATE_SEGMENTS = 32;

const PARAMETER = /^\{([A-Za-z_][A-Za-z0-9_-]{0,63})\}$/;
/** The listener refuses these in a decoded path, because two servers could read them as two paths. */
const NEVER_IN_SEGMENT = /[/\\%;]/;
// Control characters are what this expression looks for.
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/;

export function parsePathTemplate(text: string): PathTemplateReading {
  const at = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
  const refuse = (why: string): PathTemplateReading => ({
    kind: "problem",
    message: `path ${at} ${why}`,
  });
  if (text.length > MAX_TEMPLATE_LENGTH) {
    return refuse(`must not be longer than ${MAX_TEMPLATE_LENGTH} characters`);
  }
  if (!text.startsWith("/")) return refuse("must start with a slash");
  const whole = wholeProblem(text);
  if (whole !== undefined) return refuse(whole);
  if (text === "/") return { kind: "template", template: [] };

  const raw = text.slice(1).split("/");
  if (raw.length > MAX_TEMPLATE_SEGMENTS) {
    return refuse(`must not have more than ${MAX_TEMPLATE_SEGMENTS} segments`);
  }
  const template: PathSegment[] = [];
  const parameters = new Set<string>();
  for (const [index, segment] of raw.entries()) {
    if (segment === "" && index < raw.length - 1) return refuse("must not have an empty segment");
    const reading = readSegment(segment);
    if (typeof reading === "string") return refuse(reading);
    if ("parameter" in reading) {
      if (parameters.has(reading.parameter)) {
        return refuse(`must not have the parameter {${reading.parameter}} twice`);
      }
      parameters.add(reading.parameter);
    }
    template.push(reading);
  }
  return { kind: "template", template };
}

/**
 * Most specific first: at the leftmost difference a literal comes before a parameter. Zero exactly for two
 * templates that match the same paths, whatever their parameters are called.
 */
export function comparePathTemplates(a: PathTemplate, b: PathTemplate): number {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const left = a[index];
    const right = b[index];
    if (left === undefined || right === undefined) break;
    if ("literal" in left && "literal" in right) {
      if (left.literal !== right.literal) return left.literal < right.literal ? -1 : 1;
    } else if ("literal" in left) {
      return -1;
    } else if ("literal" in right) {
      return 1;
    }
  }
  return b.length - a.length;
}

/** As people write it; for messages. */
export function pathTemplateText(template: PathTemplate): string {
  return `/${template.map((x) => ("literal" in x ? encodeURIComponent(x.literal) : `{${x.parameter}}`)).join("/")}`;
}

function wholeProblem(text: string): string | undefined {
  if (!text.isWellFormed()) return "must be well-formed Unicode";
  if (text.includes("?")) return "must not have a query";
  if (text.includes("#")) return "must not have a fragment";
  if (text.includes(";")) return "must not have a path parameter (;)";
  if (text.includes("\\")) return "must not have a backslash";
  if (text.includes(" ") || CONTROL.test(text)) {
    return "must not have a space or a control character";
  }
  return undefined;
}

function readSegment(segment: string): PathSegment | string {
  if (segment.includes("{") || segment.includes("}")) {
    const parameter = PARAMETER.exec(segment)?.[1];
    return parameter === undefined
      ? "must have parameters as whole segments, like /orders/{orderId} (letters, digits, _ and -)"
      : { parameter };
  }
  let literal: string;
  try {
    literal = decodeURIComponent(segment);
  } catch {
    // decodeURIComponent has one reason to throw.
    return "must not have a malformed percent-encoding";
  }
  if (literal === "." || literal === "..") return "must not have a dot segment";
  if (NEVER_IN_SEGMENT.test(literal)) {
    return "must not have an encoded slash, backslash, percent sign or semicolon";
  }
  if (CONTROL.test(literal)) return "must not have an encoded control character";
  return { literal };
}
