/**
 * The bundle in force. States: waiting → current → stale → current. While waiting and stale everything is
 * refused with a reason; a bundle that is refused changes nothing; a new one is built aside and swapped in by
 * one assignment, so requests in flight finish on the one that they began with.
 *
 * | state   | enforced                | left by                                          |
 * | ------- | ----------------------- | ------------------------------------------------ |
 * | waiting | closed `policy.waiting` | the first bundle                                 |
 * | current | the bundle              | a newer bundle; age above `maxStaleMs`           |
 * | stale   | closed `policy.stale`   | the same bundle, renewed; a newer bundle         |
 */
import type { Bundle, Closed } from "../../policy/bundle.ts";
import type { SidecarReport } from "../../policy/report.ts";
import type { Clock } from "../../runtime/clock.ts";
import { PosternError, describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import type { Arrival } from "./source.ts";

/** A bundle from further ahead than clocks differ is as old as its arrival, or it would never grow stale. */
const MAX_AHEAD_MS = 5 * 60_000;
/** Timers cannot be longer than 24.8 days, and the machine may have slept: look at the clock now and then. */
const LOOK_AGAIN_MS = 60 * 60_000;

export type StoreState<Prepared> =
  | { readonly kind: "waiting"; readonly prepared: Prepared }
  | {
      readonly kind: "current" | "stale";
      readonly bundle: Bundle;
      /** What is enforced: of the bundle, or closed. */
      readonly prepared: Prepared;
      /** Of the bundle, to be enforced again after a renewal. */
      readonly live: Prepared;
      readonly sinceMs: number;
      /** When it is too old. */
      readonly staleAtMs: number;
    };

/** `renewed`: the same content, issued later. `unchanged`: the bundle that is in force already. */
export type Outcome = "taken" | "renewed" | "unchanged" | "refused";
export type Refusal = NonNullable<SidecarReport["refused"]>;

export interface BundleStoreOptions<Prepared> {
  readonly prepare: (bundle: Bundle) => Promise<Prepared>;
  readonly prepareClosed: (code: Closed["code"], detail: string) => Prepared;
  readonly maxStaleMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export class BundleStore<Prepared> implements Disposable {
  /** What decides about the next request. */
  current: Prepared;
  readonly #options: BundleStoreOptions<Prepared>;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  #state: StoreState<Prepared>;
  #refused: Refusal | undefined;
  #timer: AbortController | undefined;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(options: BundleStoreOptions<Prepared>) {
    this.#options = options;
    const prepared = options.prepareClosed("policy.waiting", "No verified bundle has arrived yet");
    this.#state = { kind: "waiting", prepared };
    this.current = prepared;
  }

  get state(): StoreState<Prepared> {
    return this.#state;
  }

  /** The newest bundle that was not taken, until a newer one is. */
  get refused(): Refusal | undefined {
    return this.#refused;
  }

  /** Called after every change of `state` or `refused`; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** One after the other, in the order of the calls. Never throws. */
  offer(arrival: Arrival): Promise<Outcome> {
    const outcome = this.#busy.then(() => this.#offer(arrival));
    this.#busy = outcome;
    return outcome;
  }

  [Symbol.dispose](): void {
    this.#closing.abort(new PosternError("aborted", "The bundle store was closed"));
    this.#timer?.abort(this.#closing.signal.reason);
    this.#listeners.clear();
  }

  async #offer(arrival: Arrival): Promise<Outcome> {
    if (this.#closing.signal.aborted) return "unchanged";
    if (arrival.kind === "refused") {
      const { code, detail, revision } = arrival;
      return this.#refuse({ code, detail, ...(revision === undefined ? {} : { revision }) });
    }
    const { bundle } = arrival;
    const held = this.#state.kind === "waiting" ? undefined : this.#state;
    if (held === undefined || bundle.revision > held.bundle.revision) return this.#take(bundle);
    const { revision } = bundle;
    if (revision < held.bundle.revision) {
      const detail = `revision: must be at least ${held.bundle.revision}, found ${revision}`;
      return this.#refuse({ code: "bundle.replayed", detail, revision });
    }
    if (bundle.digest !== held.bundle.digest) {
      const detail = `revision: ${revision} is in force already with another content`;
      return this.#refuse({ code: "bundle.replayed", detail, revision });
    }
    return this.#renew(bundle, held);
  }

  async #take(bundle: Bundle): Promise<Outcome> {
    const staleAtMs = this.#staleAt(bundle);
    if (staleAtMs <= this.#options.clock.now() && this.#state.kind === "current") {
      const detail = `issuedAtMs: issued longer ago than ${this.#options.maxStaleMs} ms`;
      return this.#refuse({ code: "bundle.stale", detail, revision: bundle.revision });
    }
    let live: Prepared;
    try {
      live = await this.#options.prepare(bundle);
    } catch (cause) {
      const detail = `The bundle cannot be prepared: ${describe(cause)}`;
      return this.#refuse({ code: "bundle.unknown", detail, revision: bundle.revision });
    }
    this.#refused = undefined;
    this.#transition(bundle, live, staleAtMs);
    this.#options.log.info("Bundle in force", {
      revision: bundle.revision,
      digest: bundle.digest,
      policies: bundle.policies.length,
      state: this.#state.kind,
    });
    return "taken";
  }

  #renew(bundle: Bundle, held: Exclude<StoreState<Prepared>, { kind: "waiting" }>): Outcome {
    const cleared = this.#refused !== undefined && (this.#refused.revision ?? 0) <= bundle.revision;
    if (cleared) this.#refused = undefined;
    const newer = bundle.issuedAtMs > held.bundle.issuedAtMs;
    // Another controller's clock may be behind: then the later time stands.
    if (newer) this.#transition(bundle, held.live, this.#staleAt(bundle));
    else if (cleared) this.#tell();
    return newer ? "renewed" : "unchanged";
  }

  #refuse(refusal: Refusal): Outcome {
    const known = this.#refused;
    const same = known?.code === refusal.code && known.detail === refusal.detail;
    this.#refused = refusal;
    if (same) return "refused";
    this.#options.log.warn("Bundle refused; the one in force stays", { ...refusal });
    this.#tell();
    return "refused";
  }

  /** The only place where the state changes. */
  #transition(bundle: Bundle, live: Prepared, staleAtMs: number): void {
    const now = this.#options.clock.now();
    const before = this.#state;
    const kind = staleAtMs <= now ? "stale" : "current";
    const same =
      before.kind === kind &&
      before.bundle.revision === bundle.revision &&
      before.bundle.digest === bundle.digest;
    this.#state = {
      kind,
      bundle,
      live,
      prepared: kind === "current" ? live : this.#closedStale(bundle),
      sinceMs: same ? before.sinceMs : now,
      staleAtMs,
    };
    this.current = this.#state.prepared;
    this.#timer?.abort(new PosternError("aborted", "The bundle was replaced"));
    this.#timer = undefined;
    if (kind === "current") this.#watchAge(staleAtMs);
    this.#tell();
  }

  #watchAge(staleAtMs: number): void {
    const timer = new AbortController();
    this.#timer = timer;
    const wait = async (): Promise<void> => {
      for (;;) {
        const left = staleAtMs - this.#options.clock.now();
        if (left <= 0) break;
        await this.#options.clock.sleep(Math.min(left, LOOK_AGAIN_MS), timer.signal);
      }
      if (timer.signal.aborted || this.#state.kind !== "current") return;
      const { bundle, live } = this.#state;
      this.#options.log.error("The bundle in force is too old; refusing everything", {
        revision: bundle.revision,
        maxStaleMs: this.#options.maxStaleMs,
      });
      this.#transition(bundle, live, staleAtMs);
    };
    wait().catch((cause: unknown) => {
      if (timer.signal.aborted) return;
      this.#options.log.error("Cannot watch the bundle's age", { error: describe(cause) });
    });
  }

  #staleAt(bundle: Bundle): number {
    const now = this.#options.clock.now();
    const issuedAtMs = bundle.issuedAtMs > now + MAX_AHEAD_MS ? now : bundle.issuedAtMs;
    return issuedAtMs + this.#options.maxStaleMs;
  }

  #closedStale(bundle: Bundle): Prepared {
    const detail = `Revision ${bundle.revision} was issued longer ago than ${this.#options.maxStaleMs} ms`;
    return this.#options.prepareClosed("policy.stale", detail);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
