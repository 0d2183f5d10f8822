/**
 * HTTP/2 for callers: with TLS by ALPN, without it by prior knowledge. Connections come from the acceptor;
 * requests go where those of HTTP/1.1 go, through the same checks and into the same records.
 */
import type { Inbound, ProtocolServer } from "../connection/inbound.ts";
import type { ServeOptions } from "../serve.ts";
import { serve } from "../serve.ts";
import type { Http2Limits } from "./limits.ts";
import { DEFAULT_HTTP2_LIMITS } from "./limits.ts";
import type { Session } from "./session.ts";
import { openSession } from "./session.ts";

export interface Http2ServerOptions extends ServeOptions {
  readonly http2?: Partial<Http2Limits>;
}

export interface Http2Server extends ProtocolServer {
  /** Requests that are being decided or forwarded. */
  readonly inFlight: number;
}

export function createHttp2Server(options: Http2ServerOptions): Http2Server {
  const limits: Http2Limits = { ...DEFAULT_HTTP2_LIMITS, ...options.http2 };
  const sessions = new Set<Session>();
  let waiting: (() => void)[] = [];
  let inFlight = 0;
  let draining = false;
  const empty = async (): Promise<void> => {
    if (sessions.size > 0) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const cut = (): void => {
    for (const session of sessions) session.destroy();
  };
  return {
    serve: (inbound: Inbound) => {
      if (inbound.socket.destroyed) return;
      const session = openSession(inbound, {
        ...options,
        limits,
        onRequest: (arrival, refusal) => {
          inFlight += 1;
          void serve(arrival, options, refusal).finally(() => {
            inFlight -= 1;
          });
        },
        onClosed: () => {
          sessions.delete(session);
          if (sessions.size > 0) return;
          const done = waiting;
          waiting = [];
          for (const resolve of done) resolve();
        },
      });
      sessions.add(session);
      // It came while the door was closing.
      if (draining) session.drain();
    },
    get connections() {
      return sessions.size;
    },
    get inFlight() {
      return inFlight;
    },
    drain: async (signal) => {
      draining = true;
      for (const session of sessions) session.drain();
      if (signal.aborted) cut();
      else signal.addEventListener("abort", cut, { once: true });
      await empty();
      signal.removeEventListener("abort", cut);
    },
    close: async () => {
      draining = true;
      cut();
      await empty();
    },
  };
}
