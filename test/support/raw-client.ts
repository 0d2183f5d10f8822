/** A client that sends bytes, not requests: no library stands between a test and the wire. */
import { connect } from "node:net";
import type { Socket } from "node:net";

export interface RawResponse {
  readonly status: number;
  /** Status line and headers. */
  readonly head: string;
  readonly body: string;
  header(name: string): string | undefined;
}

export interface RawClient extends AsyncDisposable {
  readonly socket: Socket;
  /** Latin-1: one character is one byte. */
  send(text: string): void;
  /** The next whole response; rejects when the connection ends before. `isHead`: it has no body. */
  response(options?: { readonly isHead?: boolean }): Promise<RawResponse>;
  /** Resolves with all that is left unread when the other side has closed. */
  closed(): Promise<string>;
  /** All bytes so far that no response has taken. */
  readonly received: string;
  /** Resolves when the unread bytes contain it. */
  until(text: string): Promise<void>;
  close(): void;
}

export async function rawClient(address: {
  readonly host: string;
  readonly port: number;
}): Promise<RawClient> {
  const socket = connect({ host: address.host, port: address.port, noDelay: true });
  let received = "";
  let isClosed = false;
  let wake: (() => void)[] = [];
  const changed = (): void => {
    const woken = wake;
    wake = [];
    for (const resolve of woken) resolve();
  };
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
    changed();
  });
  // A reset is an end like another: what counts is what had arrived.
  socket.on("error", () => socket.destroy());
  const ended = new Promise<void>((resolve) => {
    socket.once("close", () => {
      isClosed = true;
      changed();
      resolve();
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  const change = (): Promise<void> => new Promise((resolve) => wake.push(resolve));
  const close = (): void => {
    socket.destroy();
  };
  return {
    socket,
    send: (text) => {
      if (!socket.destroyed) socket.write(text, "latin1");
    },
    response: async ({ isHead = false } = {}) => {
      for (;;) {
        const taken = takeResponse(received, isHead, isClosed);
        if (taken !== undefined) {
          received = received.slice(taken.length);
          return taken.response;
        }
        if (isClosed) throw new Error(`The connection ended within a response: "${received}"`);
        await change();
      }
    },
    closed: async () => {
      await ended;
      return received;
    },
    get received() {
      return received;
    },
    until: async (text) => {
      while (!received.includes(text)) {
        if (isClosed) throw new Error(`The connection ended before "${text}": "${received}"`);
        await change();
      }
    },
    close,
    [Symbol.asyncDispose]: () => {
      close();
      return Promise.resolve();
    },
  };
}

function takeResponse(
  received: string,
  isHead: boolean,
  isClosed: boolean,
): { readonly response: RawResponse; readonly length: number } | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = received.slice(0, end + 4);
  const header = (name: string): string | undefined =>
    new RegExp(`\\r\\n${name}: *([^\\r]*)`, "i").exec(head)?.[1];
  const status = Number(head.slice(9, 12));
  const hasNoBody = isHead || status === 204 || status === 304 || status < 200;
  const length = header("content-length");
  let total = head.length;
  if (hasNoBody) total += 0;
  else if (length !== undefined) total += Number(length);
  else if (/chunked/i.test(header("transfer-encoding") ?? "")) {
    const last = /(?:^|\r\n)0\r\n(?:[^\r]+\r\n)*\r\n/.exec(received.slice(head.length));
    if (last === null) return undefined;
    total += last.index + last[0].length;
  } else {
    if (!isClosed) return undefined;
    total = received.length;
  }
  if (received.length < total) return undefined;
  return {
    response: { status, head, body: received.slice(head.length, total), header },
    length: total,
  };
}
