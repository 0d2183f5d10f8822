/**
 * IP addresses and networks as values with one spelling each. What people write (`10.0.0.0/8`, `2001:DB8::1`) and
 * what sockets and headers say (`::ffff:10.0.0.1`, `fe80::1%eth0`) become the same bytes before anything is
 * compared: two spellings of one address must never get two answers.
 */

export interface IpAddress {
  readonly family: "ipv4" | "ipv6";
  /** 4 or 16. */
  readonly bytes: readonly number[];
}

export interface IpNetwork {
  readonly address: IpAddress;
  readonly prefix: number;
}

export type NetworkReading =
  | { readonly kind: "network"; readonly network: IpNetwork }
  /** A clause without a subject: "must …". */
  | {
      readonly kind: "problem";
      readonly message: string;
      /** The only problem: it is a network, less these bits. */
      readonly hostBits?: true;
    };

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const GROUP = /^[0-9A-Fa-f]{1,4}$/;
const PREFIX = /^(?:0|[1-9][0-9]{0,2})$/;
/** The longest: eight groups, the last two as IPv4. */
const MAX_LENGTH = 45;

/** Strict: no leading zeros (octal to some), no zone, no brackets, no port. */
export function parseIp(text: string): IpAddress | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const bytes = text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
  if (bytes === undefined) return undefined;
  return { family: bytes.length === 4 ? "ipv4" : "ipv6", bytes };
}

/** IPv4 where it is mapped into IPv6 (RFC 4291 §2.5.5.2): the caller is the same one. */
export function unmapped(address: IpAddress): IpAddress {
  return isMapped(address) ? { family: "ipv4", bytes: address.bytes.slice(12) } : address;
}

/** Of a network: mapped addresses and host bits are mistakes, since their author means something else than they say. */
export function parseNetwork(text: string): NetworkReading {
  const problem = (message: string): NetworkReading => ({ kind: "problem", message });
  const [addressText = "", prefixText, ...more] = text.split("/");
  const address = parseIp(addressText);
  if (address === undefined || prefixText === undefined || more.length > 0) {
    return problem(
      "must be a network in CIDR form, like 10.0.0.0/8, 192.0.2.7/32 or 2001:db8::/32",
    );
  }
  if (!PREFIX.test(prefixText) || Number(prefixText) > address.bytes.length * 8) {
    return problem(`must have a prefix length from 0 to ${address.bytes.length * 8}`);
  }
  if (isMapped(address)) return problem("must be written as IPv4, not mapped into IPv6");
  const prefix = Number(prefixText);
  const masked = { family: address.family, bytes: mask(address.bytes, prefix) };
  if (ipText(masked) !== ipText(address)) {
    const message = `must not have bits set behind its prefix: write ${ipText(masked)}/${prefix}`;
    return { kind: "problem", message, hostBits: true };
  }
  return { kind: "network", network: { address, prefix } };
}

/** RFC 5952 for IPv6: lower case, the longest run of zeros (the first of equals) as `::`. */
export function ipText({ family, bytes }: IpAddress): string {
  if (family === "ipv4") return bytes.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  const { start, length } = longestZeros(groups);
  const text = (part: readonly number[]): string => part.map((x) => x.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

export function networkText({ address, prefix }: IpNetwork): string {
  return `${ipText(address)}/${prefix}`;
}

function isMapped({ bytes }: IpAddress): boolean {
  return (
    bytes.length === 16 &&
    bytes.slice(0, 10).every((x) => x === 0) &&
    bytes[10] === 0xff &&
    bytes[11] === 0xff
  );
}

function ipv4Bytes(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((x) => OCTET.test(x) && Number(x) <= 255))
    return undefined;
  return parts.map(Number);
}

function ipv6Bytes(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupBytes(halves[0] ?? "", halves.length === 1);
  const tail = halves[1] === undefined ? [] : groupBytes(halves[1], true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  // `::` stands for one group at least.
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

/** Groups joined by colons; IPv4 may stand at the very end. */
function groupBytes(text: string, isEnd: boolean): readonly number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (isEnd && index === parts.length - 1 && part.includes(".")) {
      const ipv4 = ipv4Bytes(part);
      if (ipv4 === undefined) return undefined;
      bytes.push(...ipv4);
    } else {
      if (!GROUP.test(part)) return undefined;
      const value = Number.parseInt(part, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes.length > 16 ? undefined : bytes;
}

function mask(bytes: readonly number[], prefix: number): readonly number[] {
  return bytes.map((byte, index) => {
    const kept = Math.max(0, Math.min(8, prefix - index * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
}

function longestZeros(groups: readonly number[]): {
  readonly start: number;
  readonly length: number;
} {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
