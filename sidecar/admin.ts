/** What the admin port says of this sidecar: whether it is ready, and what it enforces, without any secret. */
import type { Bundle, Keys, Provider } from "../policy/bundle.ts";
import type { Readiness } from "../runtime/admin-server.ts";
import { redact } from "../runtime/redact.ts";
import type { BundleStore } from "./bundle/store.ts";

type Held = Pick<BundleStore<unknown>, "state" | "refused">;

/** A bundle has at most 1 MiB, and is shown whole. */
const SHOW_LIMITS = { depth: 24, members: 100_000 } as const;

/** Ready is: a bundle is current, and we still take requests. */
export function readiness(store: Held, isDraining: () => boolean): Readiness {
  return () => {
    const reasons: string[] = [];
    if (store.state.kind === "waiting") reasons.push("No verified bundle has arrived yet");
    if (store.state.kind === "stale") reasons.push("The last verified bundle is too old");
    if (isDraining()) reasons.push("The sidecar is shutting down");
    return reasons;
  };
}

/** For `/debug/bundle`. */
export function describeBundle(store: Held, source: string): unknown {
  const { state, refused } = store;
  const held =
    state.kind === "waiting"
      ? {}
      : {
          since: new Date(state.sinceMs).toISOString(),
          staleAt: new Date(state.staleAtMs).toISOString(),
          bundle: showBundle(state.bundle),
        };
  return redact(
    { state: state.kind, source, ...(refused === undefined ? {} : { refused }), ...held },
    SHOW_LIMITS,
  );
}

function showBundle(bundle: Bundle): unknown {
  return {
    ...bundle,
    issuedAt: new Date(bundle.issuedAtMs).toISOString(),
    layers: bundle.layers.map(({ authentication, ...layer }) => ({
      ...layer,
      ...(authentication === undefined
        ? {}
        : {
            authentication: {
              ...authentication,
              providers: authentication.providers.map(showProvider),
            },
          }),
    })),
  };
}

function showProvider(provider: Provider): unknown {
  return { ...provider, keys: showKeys(provider.keys) };
}

/** Which keys are there is what an operator asks; their material only fills the screen. */
function showKeys(keys: Keys): unknown {
  if (keys.kind === "unavailable") return keys;
  return { kind: keys.kind, jwks: keys.jwks.map(({ kid, kty, alg }) => ({ kid, kty, alg })) };
}
