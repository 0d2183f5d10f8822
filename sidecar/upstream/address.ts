/** Where the application listens: a port of this machine, or a Unix socket in a volume that the pod shares. */

export type UpstreamAddress = TcpAddress | UnixAddress;

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

export interface UnixAddress {
  /** Absolute. */
  readonly path: string;
}

/** What fits into `sun_path` of unix(7), less its NUL. */
const MAX_PATH_BYTES = 107;

export type UpstreamReading =
  | { readonly kind: "address"; readonly address: UpstreamAddress }
  /** Why not, as a clause that follows what was found. */
  | { readonly kind: "no-address"; readonly why: string };

/** `http://127.0.0.1:8080` or `unix:/run/app.sock`, and nothing besides: what is checked is what is forwarded. */
export function readUpstream(text: string): UpstreamReading {
  const parsed = URL.parse(text);
  if (parsed === null) return no("which is not a URL");
  const { protocol, username, password, pathname, search, hash } = parsed;
  if (protocol !== "http:" && protocol !== "unix:") {
    return no(`whose scheme is ${protocol.slice(0, -1)}`);
  }
  if (username !== "" || password !== "") return no("which holds user information");
  if (search !== "" || hash !== "") return no("which has a query or a fragment");
  if (protocol === "unix:") return unix(parsed);
  if (pathname !== "/") return no("which has a path, and paths are forwarded unchanged");
  const host = parsed.hostname.replace(/^\[|\]$/g, "");
  return {
    kind: "address",
    address: { host, port: parsed.port === "" ? 80 : Number(parsed.port) },
  };
}

function unix({ host, pathname }: URL): UpstreamReading {
  if (host !== "") return no("which has a host: a socket's path begins with one or three slashes");
  let path: string;
  try {
    path = decodeURIComponent(pathname);
  } catch {
    return no("whose path is not valid percent-encoding");
  }
  if (!path.startsWith("/") || path.endsWith("/")) return no("whose path is not that of a file");
  if (path.includes("\0")) return no("whose path has a NUL");
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    return no(`whose path is longer than the ${MAX_PATH_BYTES} bytes that a socket can have`);
  }
  return { kind: "address", address: { path } };
}

function no(why: string): UpstreamReading {
  return { kind: "no-address", why };
}
