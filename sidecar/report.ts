/**
 * What this sidecar says of itself: at once when anything changes and after a reconnect, and as a heartbeat in
 * between, so that the controller can tell a policy's truth. The last report says that we leave in order.
 */
import type { WorkloadRef } from "../policy/bundle.ts";
import { HEARTBEAT_MS, ackSubject } from "../policy/contract.ts";
import type { SidecarReport } from "../policy/report.ts";
import type { Bus } from "../runtime/bus/bus.ts";
import type { Clock } from "../runtime/clock.ts";
import { PosternError, describe } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import type { BundleStore } from "./bundle/store.ts";

const JITTER = 0.1;
/** As much as the controller reads. */
const MAX_DETAIL = 2_048;

export interface ReporterOptions {
  readonly bus: Pick<Bus, "publish" | "states">;
  readonly store: Pick<BundleStore<unknown>, "state" | "refused" | "onChange">;
  readonly workload: WorkloadRef;
  readonly pod: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Reports until disposed; the disposal publishes the last one. */
export function startReporting(options: ReporterOptions): Disposable {
  const { bus, store, clock, log } = options;
  const subject = ackSubject(options.workload, options.pod);
  const control = new AbortController();
  let pause = new AbortController();
  const send = (leaving: boolean): void => {
    bus.publish(subject, Buffer.from(JSON.stringify(reportOf(options, leaving)), "utf8"));
  };
  const sendNow = (): void => {
    send(false);
    // The heartbeat counts from the last report, whatever its reason.
    pause.abort(new PosternError("aborted", "Reported"));
  };
  const beat = async (): Promise<void> => {
    while (!control.signal.aborted) {
      pause = new AbortController();
      const beatMs = Math.round(HEARTBEAT_MS * (1 + (Math.random() * 2 - 1) * JITTER));
      try {
        const signal = AbortSignal.any([control.signal, pause.signal]);
        await clock.sleep(beatMs, signal);
        send(false);
      } catch (cause) {
        if (!control.signal.aborted && !pause.signal.aborted) throw cause;
      }
    }
  };
  const greet = async (): Promise<void> => {
    for await (const state of bus.states(control.signal)) if (state === "connected") sendNow();
  };
  const stopListening = store.onChange(sendNow);
  Promise.all([beat(), greet()]).catch((cause: unknown) => {
    log.error("Reports have ended", { error: describe(cause) });
  });
  return {
    [Symbol.dispose]: () => {
      if (control.signal.aborted) return;
      stopListening();
      control.abort(new PosternError("aborted", "Reporting was stopped"));
      send(true);
    },
  };
}

export function reportOf(
  { store, workload, pod, version, clock }: Omit<ReporterOptions, "bus" | "log">,
  leaving: boolean,
): SidecarReport {
  const { state, refused } = store;
  return {
    workload,
    pod,
    state: leaving ? "leaving" : state.kind,
    ...(state.kind === "waiting"
      ? {}
      : {
          enforced: {
            revision: state.bundle.revision,
            digest: state.bundle.digest,
            policies: state.bundle.policies,
            sinceMs: state.sinceMs,
          },
        }),
    ...(refused === undefined
      ? {}
      : { refused: { ...refused, detail: refused.detail.slice(0, MAX_DETAIL) } }),
    version,
    sentAtMs: clock.now(),
  };
}
