/** A whole data path in front of a recording upstream, with everything that a test may look at. */
import type { Bundle } from "../../policy/bundle.ts";
import { systemClock } from "../../runtime/clock.ts";
import type { LogFields } from "../../runtime/log.ts";
import { silentLog } from "../../runtime/log.ts";
import type { WatchedTlsFiles } from "../../sidecar/connection/tls-files.ts";
import type { DataPath, DataPathLimits } from "../../sidecar/data-path.ts";
import { createDataPath } from "../../sidecar/data-path.ts";
import type { DecisionRecord } from "../../sidecar/decision-record.ts";
import type { Metrics } from "../../sidecar/metrics.ts";
import { createMetrics } from "../../sidecar/metrics.ts";
import type { Prepared } from "../../sidecar/prepared.ts";
import { prepare } from "../../sidecar/prepared.ts";
import type { UpstreamAddress } from "../../sidecar/upstream/address.ts";
import { bundle, layer } from "./bundles.ts";
import type { RawClient } from "./raw-client.ts";
import { rawClient } from "./raw-client.ts";
import type { RecordingUpstream } from "./upstream.ts";
import { recordingUpstream } from "./upstream.ts";

export interface LoggedError {
  readonly message: string;
  readonly fields: LogFields;
}

export interface Lane extends AsyncDisposable {
  readonly upstream: RecordingUpstream;
  readonly path: DataPath;
  readonly metrics: Metrics;
  readonly records: readonly DecisionRecord[];
  /** What was logged as an error. */
  readonly errors: readonly LoggedError[];
  /** Decides about the next request. */
  current: () => Prepared;
  client(): Promise<RawClient>;
}

export interface LaneOptions {
  /** Default: one layer that asks nothing. */
  readonly bundle?: Bundle;
  readonly limits?: Partial<DataPathLimits>;
  /** Default: the recording upstream. */
  readonly to?: UpstreamAddress;
  readonly tls?: WatchedTlsFiles;
}

export async function openLane(options: LaneOptions = {}): Promise<Lane> {
  const upstream = await recordingUpstream();
  const prepared = await prepare(options.bundle ?? bundle({ layers: [layer()] }));
  const metrics = createMetrics();
  const records: DecisionRecord[] = [];
  const errors: LoggedError[] = [];
  const path = createDataPath({
    current: () => lane.current(),
    upstream: options.to ?? upstream,
    log: { ...silentLog, error: (message, fields = {}) => errors.push({ message, fields }) },
    clock: systemClock,
    metrics,
    record: (record) => records.push(record),
    ...(options.limits !== undefined && { limits: options.limits }),
    ...(options.tls !== undefined && { tls: options.tls }),
  });
  const address = await path.listen({ host: "127.0.0.1", port: 0 });
  const lane: Lane = {
    upstream,
    path,
    metrics,
    records,
    errors,
    current: () => prepared,
    client: () => rawClient(address),
    [Symbol.asyncDispose]: async () => {
      await path.close();
      await upstream.close();
    },
  };
  return lane;
}

export function codeOf(response: { readonly body: string }): unknown {
  return (JSON.parse(response.body) as { readonly code: unknown }).code;
}
