/**
 * The PROXY header, version 1 and 2, as HAProxy's specification has it (proxy-protocol.txt), read strictly: a
 * header that is not exactly one is malformed, never skipped. Nothing is read beyond its end, and no more than
 * MAX_BYTES is waited for.
 */
import { ipText, parseIp, unmapped } from "../../policy/ip.ts";

export type ProxyReading =
  /** So far it may become one. */
  | { readonly kind: "incomplete" }
  /** These bytes begin something else. */
  | { readonly kind: "absent" }
  | { readonly kind: "malformed"; readonly detail: string }
  | { readonly kind: "header"; readonly length: number; readonly source: ProxySource };

export type ProxySource =
  | { readonly kind: "proxied"; readonly address: string; readonly port: number }
  /** The proxy speaks for itself (LOCAL): a health check. */
  | { readonly kind: "own" }
  /** The proxy does not know, or does not say in terms of IP (UNKNOWN, UNSPEC). */
  | { readonly kind: "unknown" };

const V1_START = Buffer.from("PROXY ", "latin1");
/** §2.1, with its end of line. */
const V1_MAX_BYTES = 107;
const V1_LINE = /^PROXY (TCP4|TCP6) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$/;
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;

const V2_START = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_HEAD_BYTES = 16;
/** Addresses and extensions. A header with a client certificate in its extensions still fits. */
const V2_MAX_REST = 4096;

export function readProxyHeader(bytes: Buffer): ProxyReading {
  if (bytes.length === 0) return { kind: "incomplete" };
  if (agree(bytes, V1_START)) {
    return bytes.length < V1_START.length ? { kind: "incomplete" } : readVersion1(bytes);
  }
  if (agree(bytes, V2_START)) {
    return bytes.length < V2_HEAD_BYTES ? { kind: "incomplete" } : readVersion2(bytes);
  }
  return { kind: "absent" };
}

/** As far as both go. */
function agree(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function readVersion1(bytes: Buffer): ProxyReading {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf("\r\n", 0, "latin1");
  if (end === -1) {
    return bytes.length < V1_MAX_BYTES
      ? { kind: "incomplete" }
      : malformed(`has no end of line within ${V1_MAX_BYTES} bytes`);
  }
  const length = end + 2;
  const line = bytes.toString("latin1", 0, end);
  if (line === "PROXY UNKNOWN" || line.startsWith("PROXY UNKNOWN ")) {
    return { kind: "header", length, source: { kind: "unknown" } };
  }
  const [, protocol, source = "", destination = "", sourcePort = "", destinationPort = ""] =
    V1_LINE.exec(line) ?? [];
  if (protocol === undefined) return malformed("is not a line of version 1");
  const family = protocol === "TCP4" ? "ipv4" : "ipv6";
  const address = parseIp(source);
  if (address?.family !== family || parseIp(destination)?.family !== family) {
    return malformed(`has an address that is not of ${protocol}`);
  }
  if (!isPort(sourcePort) || !isPort(destinationPort)) return malformed("has a port that is none");
  return {
    kind: "header",
    length,
    source: {
      kind: "proxied",
      address: ipText(unmapped(address)),
      port: Number(sourcePort),
    },
  };
}

/** Signature, version and command, family and protocol, length; then addresses, then extensions (§2.2). */
function readVersion2(bytes: Buffer): ProxyReading {
  const versionAndCommand = bytes.readUInt8(12);
  const familyAndProtocol = bytes.readUInt8(13);
  const rest = bytes.readUInt16BE(14);
  const length = V2_HEAD_BYTES + rest;
  // Known before the rest is there: nobody waits for what will be refused.
  if (versionAndCommand !== 0x20 && versionAndCommand !== 0x21) {
    return malformed("has a version or command that does not exist");
  }
  if (rest > V2_MAX_REST)
    return malformed(`announces ${rest} bytes, at most ${V2_MAX_REST} are read`);
  const isLocal = versionAndCommand === 0x20;
  const size = ADDRESS_BYTES.get(familyAndProtocol);
  if (!isLocal && size === undefined) {
    return malformed("has an address family or protocol that does not carry HTTP");
  }
  if (!isLocal && rest < (size ?? 0) * 2 + (size === 0 ? 0 : 4)) {
    return malformed("is too short for its addresses");
  }
  if (bytes.length < length) return { kind: "incomplete" };
  // §2.2: of LOCAL, whatever addresses there are must be ignored.
  if (isLocal) return { kind: "header", length, source: { kind: "own" } };
  if (size === undefined || size === 0) {
    return { kind: "header", length, source: { kind: "unknown" } };
  }
  const address = {
    family: size === 4 ? "ipv4" : "ipv6",
    bytes: [...bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + size)],
  } as const;
  const port = bytes.readUInt16BE(V2_HEAD_BYTES + 2 * size);
  return {
    kind: "header",
    length,
    source: { kind: "proxied", address: ipText(unmapped(address)), port },
  };
}

/** UNSPEC, TCP over IPv4, TCP over IPv6. UDP and Unix sockets do not bring HTTP from a client with an address. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [0x00, 0],
  [0x11, 4],
  [0x21, 16],
]);

function isPort(text: string): boolean {
  return PORT.test(text) && Number(text) <= 65_535;
}

function malformed(what: string): ProxyReading {
  return { kind: "malformed", detail: `The PROXY header ${what}` };
}
