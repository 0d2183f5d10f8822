/**
 * Does the request belong on its connection? What was verified about a TLS connection (the certificate that was
 * shown, the client's own) holds for the name that it was made for, so a request for another host is sent away
 * (RFC 9110 §15.5.20; CVE-2022-23632 and CVE-2026-48491 are what happens otherwise).
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { ClientOrigin } from "./inbound.ts";

/** `host` as normal form has it: lower case, `name[:port]`. Undefined: it belongs there, or no name was given. */
export function misdirection(client: ClientOrigin, host: string): Denial | undefined {
  const serverName = client.tls?.serverName;
  if (serverName === undefined) return undefined;
  const name = host.replace(/:[0-9]*$/, "");
  if (name === serverName) return undefined;
  return deny(
    "transport.misdirected",
    `The connection is for "${serverName}", the request for "${name}"`,
  );
}
