/** Each stage of a request by itself, in the order in which a request meets them. */
import { createLog } from "../../runtime/log.ts";
import { readToken } from "../../sidecar/authentication/token.ts";
import { verifyToken } from "../../sidecar/authentication/verify.ts";
import type { DecisionRecord } from "../../sidecar/decision-record.ts";
import { decisionFields, logRecords } from "../../sidecar/decision-record.ts";
import { HeaderList } from "../../sidecar/exchange.ts";
import { countRequest, createMetrics } from "../../sidecar/metrics.ts";
import { readRequest } from "../../sidecar/normal-form/request.ts";
import { decide } from "../../sidecar/pipeline.ts";
import { findRule, growRuleTree } from "../../sidecar/rule-tree.ts";
import type { Micro } from "./measure.ts";
import { NOW, RAW, TOKEN, clock, exchangeFor, policy, rules } from "./request.ts";

export async function stages(): Promise<readonly Micro[]> {
  const prepared = await policy(50);
  const exchange = exchangeFor(prepared);
  const asked = prepared.layers[0]?.authentication;
  const provider = [...(asked?.providersByIssuer.values() ?? [])][0]?.[0];
  if (asked === undefined || provider === undefined) throw new TypeError("No provider");
  const decision = decide(prepared, exchange, clock);
  if ("then" in decision || decision.kind !== "permit")
    throw new TypeError("Not permitted at once");
  const key = asked.tokens.keyOf(TOKEN);
  const withoutToken = {
    ...exchange,
    headers: new HeaderList(exchange.headers.lines.filter(({ key }) => key !== "authorization")),
  };
  const metrics = createMetrics();
  const write = logRecords(createLog({ level: "info", clock, write: () => undefined }));
  const record: DecisionRecord = {
    requestId: exchange.id,
    clientAddress: exchange.client.address,
    outcome: "permit",
    status: 200,
    durationMs: 1.234,
    method: exchange.method,
    path: exchange.path,
    host: exchange.host,
    ...decisionFields(decision, prepared),
  };
  return [
    {
      name: "normal form of a head with 7 header lines",
      run: () => readRequest(RAW, prepared.guards),
    },
    ...[1, 10, 100, 1000].map((count): Micro => {
      const tree = growRuleTree(rules(count));
      return {
        name: `operation match, of ${count.toLocaleString("en")}`,
        run: () => findRule(tree, exchange.method, exchange.segments),
      };
    }),
    { name: "token, digest", run: () => asked.tokens.keyOf(TOKEN) },
    {
      name: "token, digest and look-up (seen before)",
      run: () => asked.tokens.recall(asked.tokens.keyOf(TOKEN), NOW),
    },
    { name: "token, look-up alone", run: () => asked.tokens.recall(key, NOW) },
    {
      name: "token, RS256 (not seen before)",
      run: () => {
        const token = readToken(TOKEN);
        return "code" in token ? token : verifyToken(token, provider, NOW);
      },
    },
    { name: "decide(), token seen before", run: () => decide(prepared, exchange, clock) },
    {
      name: "decide(), no token",
      run: () => decide(prepared, withoutToken, clock),
    },
    { name: "decision record to a line", run: () => write(record) },
    {
      name: "metrics of a request",
      run: () => {
        countRequest(metrics, "permit", undefined);
        metrics.observe("postern_decision_duration_seconds", 0.000_02);
        metrics.observe("postern_request_duration_seconds", 0.000_7);
      },
    },
  ];
}
