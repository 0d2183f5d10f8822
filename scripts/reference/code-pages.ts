/** docs/reference/denials.md and problems.md: one section per row of the tables in policy/. */
import { DENIALS } from "../../policy/denials.ts";
import { PROBLEMS } from "../../policy/problems.ts";

const CERTAINTY = {
  no: "policy says no",
  "could-not-tell": "it could not be decided, and is therefore refused",
} as const;

export function denialsPage(): string {
  const rows = Object.entries(DENIALS).map(([code, row]) => {
    const retry = "retryAfterSeconds" in row ? `, \`Retry-After: ${row.retryAfterSeconds}\`` : "";
    return [
      `## ${code}`,
      `Status ${row.status}${retry}. «${row.title}». Certainty: ${CERTAINTY[row.certainty]}.`,
      row.meaning,
    ].join("\n\n");
  });
  return `${[
    "# Denials",
    "Every refusal that a caller of a protected service can meet. The answer is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `code` and `requestId`; why exactly is in the sidecar's log, under the same request id. Codes are stable once released.",
    ...rows,
  ].join("\n\n")}\n`;
}

export function problemsPage(): string {
  const rows = Object.entries(PROBLEMS).map(([reason, row]) =>
    [
      `## ${reason}`,
      row.severity === "error"
        ? "Error: `Accepted` is False with this reason."
        : "Warning: `Accepted` stays True, with this reason.",
      row.meaning,
      `What is enforced meanwhile: ${row.effect}`,
      `What to do: ${row.remedy}`,
    ].join("\n\n"),
  );
  return `${[
    "# Problems",
    "Everything that can be wrong with a policy. The same sentence stands in the policy's `Accepted` condition, in `postern lint` and in the controller's log; it begins with the path of the field.",
    ...rows,
  ].join("\n\n")}\n`;
}
