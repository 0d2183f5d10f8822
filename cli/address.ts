/** `HOST:PORT` as users write it: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` (every address), `8080` (loopback). */
import { isIP } from "node:net";
import type { UpstreamAddress } from "../sidecar/upstream/address.ts";
import { readUpstream } from "../sidecar/upstream/address.ts";
import { UsageError } from "./io.ts";

export interface Address {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

const LOOPBACK = "127.0.0.1";
const EVERYWHERE = "0.0.0.0";

export function parseAddress(text: string, option: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*))(?::(\d{1,5}))$|^(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? match?.[4] ?? Number.NaN);
  const bracketed = match?.[1];
  const named = match?.[2];
  const isHost =
    bracketed !== undefined
      ? isIP(bracketed) === 6
      : named === undefined || named === "" || /^[A-Za-z0-9.-]+$/.test(named);
  if (match === null || !isHost || !(port <= 65_535)) {
    throw new UsageError(
      `${option} must be HOST:PORT, like 127.0.0.1:8080, [::1]:8080 or :8080: found ${JSON.stringify(text)}`,
    );
  }
  if (match[4] !== undefined) return { host: LOOPBACK, port };
  return { host: bracketed ?? (named === "" || named === undefined ? EVERYWHERE : named), port };
}

export function addressText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The service that is protected: an address of this machine, and no path, so that what is checked is what is forwarded. */
export function parseUpstream(text: string, option: string): UpstreamAddress {
  const reading = readUpstream(text);
  if (reading.kind === "address") return reading.address;
  throw new UsageError(
    `${option} must be like http://127.0.0.1:3000 or unix:/run/app.sock: found ${JSON.stringify(text)}, ${reading.why}`,
  );
}
