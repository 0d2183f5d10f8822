/**
 * One request from its head to its record, the same for every protocol: normal form → decide → forward or
 * refuse → record. Holds on to the policy that the request began with, so a swap in between changes nothing
 * for it.
 */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { Denial } from "../policy/denials.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import type { ClientOrigin } from "./connection/inbound.ts";
import type { Deadlines } from "./deadlines.ts";
import type { DecisionRecord, Outcome, RecordSink } from "./decision-record.ts";
import { bounded, decisionFields } from "./decision-record.ts";
import type { Exchange, NormalRequest, Reply } from "./exchange.ts";
import type { ForwardDeadlines, Forwarded } from "./forward.ts";
import { forward } from "./forward.ts";
import type { Metrics } from "./metrics.ts";
import { countRequest } from "./metrics.ts";
import type { RawRequest } from "./normal-form/request.ts";
import { readRequest } from "./normal-form/request.ts";
import { decide } from "./pipeline.ts";
import type { Prepared } from "./prepared.ts";
import { refuse } from "./respond.ts";
import type { Pool } from "./upstream/pool.ts";

/** A request's head as its protocol delivers it. */
export interface Arrival {
  readonly raw: RawRequest;
  readonly body: Readable;
  /** Whether anything of a body may be on its way, whatever the head turns out to mean. */
  readonly mayHaveBody: boolean;
  readonly reply: Reply;
  readonly client: ClientOrigin;
}

export interface ServeOptions {
  /** Read once per request. */
  readonly current: () => Prepared;
  readonly upstream: Pool;
  readonly deadlines: Deadlines;
  readonly limits: ForwardDeadlines;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly record: RecordSink;
}

/** Resolves when the request is answered, cut or abandoned, and recorded. Never rejects. */
export async function serve(
  arrival: Arrival,
  options: ServeOptions,
  refusal?: Denial,
): Promise<void> {
  const requestId = randomUUID();
  // Monotonic, for durations only: nothing is decided on it.
  const startedMs = performance.now();
  const prepared = options.current();
  try {
    const request = refusal ?? readRequest(arrival.raw, prepared.guards);
    if ("code" in request) {
      answer(arrival, request, requestId, { close: true });
      finish("deny", { ...rawFields(arrival.raw), ...denialFields(request), check: "normal-form" });
      return;
    }
    await serveNormal(request);
  } catch (cause) {
    // Nothing that a caller sends may take the process down, or leave a request without an end.
    const detail = `The request could not be served: ${describe(cause)}`;
    options.log.error("check.failed", { requestId, detail });
    if (arrival.reply.begun) arrival.reply.cut();
    else answer(arrival, { code: "check.failed", detail }, requestId, { close: true });
    finish("failed", { ...rawFields(arrival.raw), code: "check.failed", detail: bounded(detail) });
  }

  async function serveNormal(request: NormalRequest): Promise<void> {
    const exchange: Exchange = {
      ...request,
      id: requestId,
      receivedAtMs: options.clock.now(),
      client: arrival.client,
      body: arrival.body,
      reply: arrival.reply,
    };
    const decision = await decide(prepared, exchange, options.clock);
    options.metrics.observe("postern_decision_duration_seconds", secondsSince(startedMs));
    for (const { denial } of decision.wouldDeny) {
      options.metrics.count("postern_would_deny_total", denial.code);
    }
    const fields = { ...requestFields(request), ...decisionFields(decision, prepared) };
    if (decision.kind === "deny") {
      const { denial, scopes } = decision.refused;
      if (denial.code === "check.failed") {
        options.log.error("check.failed", { requestId, detail: bounded(denial.detail) });
      }
      answer(arrival, denial, requestId, {
        close: request.framing.kind !== "none",
        ...(scopes !== undefined && { scopes }),
      });
      finish("deny", fields);
      return;
    }
    const forwarded = await forward(
      decision.permit,
      options.upstream,
      options.deadlines,
      options.limits,
    );
    if (forwarded.kind === "failed") {
      answer(arrival, forwarded, requestId, { close: request.framing.kind !== "none" });
    }
    finish(OUTCOMES[forwarded.kind], {
      ...fields,
      ...("code" in forwarded && denialFields(forwarded)),
    });
  }

  function finish(outcome: Outcome, fields: Partial<DecisionRecord>): void {
    const seconds = secondsSince(startedMs);
    countRequest(options.metrics, outcome, fields.code);
    options.metrics.observe("postern_request_duration_seconds", seconds);
    options.record({
      requestId,
      clientAddress: (arrival.client.proxied ?? arrival.client).address,
      outcome,
      status: arrival.reply.status,
      durationMs: Math.round(seconds * 1e6) / 1e3,
      ...fields,
    });
  }
}

const OUTCOMES: Readonly<Record<Forwarded["kind"], Outcome>> = {
  answered: "permit",
  failed: "failed",
  cut: "cut",
  gone: "gone",
};

function answer(
  arrival: Arrival,
  { code }: Denial,
  requestId: string,
  how: { readonly close: boolean; readonly scopes?: readonly string[] },
): void {
  refuse(
    arrival.reply,
    { code, requestId, ...(how.scopes !== undefined && { scopes: how.scopes }) },
    { isHead: arrival.raw.method === "HEAD", close: how.close || arrival.mayHaveBody },
  );
}

function denialFields({ code, detail }: Denial): Pick<DecisionRecord, "code" | "detail"> {
  return { code, detail: bounded(detail) };
}

function requestFields(request: NormalRequest): Pick<DecisionRecord, "method" | "path" | "host"> {
  return {
    method: bounded(request.method),
    path: bounded(request.path),
    host: request.host,
  };
}

/** Of a request that has no normal form: enough to find it, less the query, which may hold a credential. */
function rawFields(raw: RawRequest): Pick<DecisionRecord, "method" | "path"> {
  return { method: bounded(raw.method), path: bounded(raw.target.split(/[?#]/, 1)[0] ?? "") };
}

function secondsSince(startedMs: number): number {
  return (performance.now() - startedMs) / 1000;
}
