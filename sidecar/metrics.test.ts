import { describe, expect, test } from "@jest/globals";
import { METRICS, countRequest, createMetrics } from "./metrics.ts";

describe("metrics", () => {
  test("count by label, and render what Prometheus reads", () => {
    const metrics = createMetrics();
    countRequest(metrics, "permit", undefined);
    countRequest(metrics, "deny", "authn.missing");
    countRequest(metrics, "deny", "authn.missing");
    metrics.gauge("postern_connections", () => 3);
    metrics.observe("postern_request_duration_seconds", 0.0002);
    metrics.observe("postern_request_duration_seconds", 999);
    const lines = metrics.render().split("\n");
    expect(lines).toContain('postern_requests_total{outcome="permit",code="none"} 1');
    expect(lines).toContain('postern_requests_total{outcome="deny",code="authn.missing"} 2');
    expect(lines).toContain("postern_connections 3");
    expect(lines).toContain("postern_bundle_swaps_total 0");
    expect(lines).toContain('postern_request_duration_seconds_bucket{le="0.0001"} 0');
    expect(lines).toContain('postern_request_duration_seconds_bucket{le="0.00025"} 1');
    expect(lines).toContain('postern_request_duration_seconds_bucket{le="60"} 1');
    expect(lines).toContain('postern_request_duration_seconds_bucket{le="+Inf"} 2');
    expect(lines).toContain("postern_request_duration_seconds_count 2");
    expect(metrics.value("postern_requests_total", "deny", "authn.missing")).toBe(2);
  });

  test("every row has help and a type", () => {
    const text = createMetrics().render();
    for (const [name, { help, type }] of Object.entries(METRICS)) {
      expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
    }
  });

  test("a label value cannot end its quotes", () => {
    const metrics = createMetrics();
    metrics.count("postern_bundle_refusals_total", 'a"\n\\b');
    expect(metrics.render()).toContain('{code="a\\"\\n\\\\b"} 1\n');
  });

  test("a counter may be its owner's", () => {
    const metrics = createMetrics();
    let dropped = 0;
    metrics.counter("postern_records_dropped_total", () => dropped);
    dropped = 7;
    expect(metrics.render()).toContain("\npostern_records_dropped_total 7\n");
    expect(metrics.value("postern_records_dropped_total")).toBe(7);
  });
});
