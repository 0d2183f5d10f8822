import { describe, expect, test } from "@jest/globals";
import { createLog } from "../runtime/log.ts";
import { ManualClock } from "../runtime/clock.ts";
import type { DecisionRecord } from "./decision-record.ts";
import { bounded, decisionFields, logRecords } from "./decision-record.ts";
import type { Attribution, Decision } from "./pipeline.ts";
import { prepareClosed } from "./prepared.ts";

const CLOSED = prepareClosed("policy.none", "nothing");
const refused: Attribution = {
  denial: { code: "authz.scope", detail: "x".repeat(600) },
  certain: true,
  check: "authorization",
  policy: "shop/orders",
  rule: "read",
  scopes: ["a"],
};
const denied: Decision = {
  kind: "deny",
  refused,
  subject: undefined,
  rule: { policy: "shop/orders", name: "read" },
  clientAddress: undefined,
  wouldDeny: [],
};

describe("bounded()", () => {
  test("leaves 512 characters, and says where it has cut", () => {
    expect(bounded("x".repeat(512))).toBe("x".repeat(512));
    expect(bounded("x".repeat(513))).toBe(`${"x".repeat(512)}…`);
  });
});

describe("decisionFields()", () => {
  test("of a denial names who refused, with a detail of bounded length", () => {
    expect(decisionFields(denied, CLOSED)).toEqual({
      code: "authz.scope",
      detail: `${"x".repeat(512)}…`,
      check: "authorization",
      policy: "shop/orders",
      rule: "read",
    });
  });

  test("of a denial without policy and rule names neither", () => {
    const bare = {
      denial: { code: "policy.none", detail: "d" },
      certain: true,
      check: "closed",
    } as const;
    expect(decisionFields({ ...denied, refused: bare }, CLOSED)).toEqual({
      code: "policy.none",
      detail: "d",
      check: "closed",
    });
  });

  test("has the revision, the subject's id and provider, and what would have been refused", () => {
    const subject = {
      id: "a".repeat(600),
      provider: "corp",
      claims: { email: "alice@example.com" },
      scopes: new Set(["s"]),
      identityHeaders: [{ name: "x", key: "x", value: "v" }],
    };
    const fields = decisionFields(
      { ...denied, subject, wouldDeny: [refused] },
      { ...CLOSED, revision: 3 },
    );
    expect(fields).toMatchObject({
      revision: 3,
      provider: "corp",
      subject: `${"a".repeat(512)}…`,
      wouldDeny: [
        { code: "authz.scope", check: "authorization", policy: "shop/orders", rule: "read" },
      ],
    });
    expect(JSON.stringify(fields)).not.toMatch(/alice@|"scopes"|"v"/);
    expect(
      decisionFields({ ...denied, subject: { ...subject, id: undefined } }, CLOSED),
    ).not.toHaveProperty("subject");
  });
});

describe("logRecords()", () => {
  test("writes one line that a caller cannot break", () => {
    const lines: string[] = [];
    const log = createLog({
      level: "info",
      clock: new ManualClock(),
      write: (line) => lines.push(line),
    });
    logRecords(log)({
      requestId: "r1",
      clientAddress: "127.0.0.1",
      outcome: "deny",
      status: 400,
      durationMs: 1,
      path: '/a\r\n{"forged":true}',
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      msg: "decision",
      outcome: "deny",
      status: 400,
    });
  });

  const jws = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
  const record: DecisionRecord = {
    requestId: "r1",
    clientAddress: "127.0.0.1",
    outcome: "deny",
    status: 403,
    durationMs: 1.5,
    method: "GET",
    path: "/a",
    host: "api",
    code: "authz.scope",
    detail: "d",
    subject: "alice",
    revision: 3,
  };
  const lineOf = (some: DecisionRecord): string => {
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const log = createLog({ level: "info", clock: new ManualClock(), write }, { pod: "p" });
    logRecords(log)(some);
    log.info("decision", { ...some });
    const [fast, slow] = lines;
    // The short way and the way of every other line say the same.
    expect(fast).toBe(slow);
    return fast ?? "";
  };

  test("writes what the log would write of it", () => {
    const would = [{ code: "authn.missing", detail: "d", check: "authentication" }] as const;
    expect(JSON.parse(lineOf({ ...record, wouldDeny: would }))).toMatchObject({
      msg: "decision",
      pod: "p",
      subject: "alice",
      wouldDeny: would,
    });
  });

  test.each([
    ["a token", jws, "c2lnbmF0dXJl"],
    ["a scheme with its token", "Bearer c2VjcmV0LXRva2Vu", "c2VjcmV0"],
    ["a scheme in odd letters, behind a tab", "bEaRer\tc2VjcmV0LXRva2Vu", "c2VjcmV0"],
    ["a password", "Basic YWxpY2U6c2VjcmV0", "YWxpY2U6"],
    ["user information of a URL", "http://alice:hunter2@host/", "hunter2"],
    ["a private key", "-----BEGIN PRIVATE KEY-----\nMIIEv", "MIIEv"],
  ])("lets no secret out in any field: %s", (_title, text, secret) => {
    for (const field of [
      "method",
      "path",
      "host",
      "subject",
      "detail",
      "rule",
      "policy",
    ] as const) {
      const line = lineOf({ ...record, [field]: `/x/${text}` });
      expect(line).toContain("[redacted]");
      expect(line).not.toContain(secret);
    }
    const nested = lineOf({
      ...record,
      wouldDeny: [{ code: "authn.missing", detail: text, check: "authentication" }],
    });
    expect(nested).not.toContain(secret);
  });

  test("makes no line for a log that does not want it", () => {
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    logRecords(createLog({ level: "warn", clock: new ManualClock(), write }))(record);
    expect(lines).toEqual([]);
  });
});
