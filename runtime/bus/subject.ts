/** Subjects and patterns as NATS reads them: `*` is one token, `>` at the end is one or more. */

/** Whether `subject` (without wildcards) is one of those that `pattern` names. */
export function matchesSubject(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const given = subject.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return index === wanted.length - 1 && given.length > index;
    const other = given[index];
    if (other === undefined) return false;
    if (token !== "*" && token !== other) return false;
  }
  return given.length === wanted.length;
}

/** Throws TypeError: a malformed subject is a mistake of ours, and NATS would close the connection for it. */
export function assertSubject(subject: string, what: "subject" | "pattern"): void {
  const tokens = subject.split(".");
  const wellFormed = tokens.every(
    (token, index) =>
      token !== "" &&
      !/[\s\0]/.test(token) &&
      (what === "pattern"
        ? token === "*" || (token === ">" && index === tokens.length - 1) || !/[*>]/.test(token)
        : !/[*>]/.test(token)),
  );
  if (!wellFormed) {
    throw new TypeError(
      `Cannot use ${what} ${JSON.stringify(subject)}: it must be tokens joined by "."${what === "subject" ? ", without wildcards" : ""}`,
    );
  }
}

/** A key of a bucket, as JetStream KV allows it. */
export function assertKey(key: string): void {
  if (!/^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$/.test(key)) {
    throw new TypeError(
      `Cannot use key ${JSON.stringify(key)}: it must be of letters, digits and "-/_=", joined by "."`,
    );
  }
}
