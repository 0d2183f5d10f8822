/** What the process itself costs, in Prometheus' text format, under the names that everybody's dashboards know. */
import { monitorEventLoopDelay } from "node:perf_hooks";

export interface ProcessMetrics extends Disposable {
  render(): string;
}

const LOOP_RESOLUTION_MS = 20;

export function processMetrics(): ProcessMetrics {
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  loop.enable();
  return {
    render() {
      const { user, system } = process.cpuUsage();
      // Since the last look, so that an old stall does not hide a new one.
      const delay = loop.percentile(99);
      loop.reset();
      return [
        metric(
          "process_resident_memory_bytes",
          "gauge",
          "Resident memory",
          process.memoryUsage.rss(),
        ),
        metric("process_cpu_seconds_total", "counter", "CPU time", (user + system) / 1e6),
        metric("process_uptime_seconds", "gauge", "Time since the start", process.uptime()),
        metric("nodejs_heap_used_bytes", "gauge", "Live heap", process.memoryUsage().heapUsed),
        metric(
          "nodejs_eventloop_delay_p99_seconds",
          "gauge",
          "How late timers run, 99th percentile since the last scrape",
          delay / 1e9,
        ),
      ].join("");
    },
    [Symbol.dispose]: () => void loop.disable(),
  };
}

function metric(name: string, type: "gauge" | "counter", help: string, value: number): string {
  return `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${name} ${value}\n`;
}
