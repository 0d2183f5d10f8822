/**
 * HTTP/2 frame by frame: what an attacker writes, no client library would. Header blocks are written as
 * literals without Huffman coding; of what comes back, frames, statuses and bodies are read, and no more.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rst: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;
/** RFC 9113 §4.2, where nobody has agreed on more. */
const MAX_FRAME = 16_384;
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export type Field = readonly [name: string, value: string];

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Literal fields, never indexed (RFC 7541 §6.2.2): the decoder's table stays out of it. */
export function block(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

/** In as many frames as it takes. */
export function headers(
  stream: number,
  fields: readonly Field[],
  options: { readonly end?: boolean } = {},
): Buffer {
  const bytes = block(fields);
  const parts: Buffer[] = [];
  for (let from = 0; from === 0 || from < bytes.length; from += MAX_FRAME) {
    const isLast = from + MAX_FRAME >= bytes.length;
    const flags = (isLast ? FLAG.endHeaders : 0) | (from > 0 || options.end === false ? 0 : 1);
    const type = from === 0 ? FRAME.headers : FRAME.continuation;
    parts.push(frame(type, flags, stream, bytes.subarray(from, from + MAX_FRAME)));
  }
  return Buffer.concat(parts);
}

export function data(
  stream: number,
  body: string,
  options: { readonly end?: boolean } = {},
): Buffer {
  const flags = options.end === false ? 0 : FLAG.endStream;
  return frame(FRAME.data, flags, stream, Buffer.from(body, "latin1"));
}

export function rst(stream: number, code: number): Buffer {
  return frame(FRAME.rst, 0, stream, uint32(code));
}

export function windowUpdate(stream: number, bytes: number): Buffer {
  return frame(FRAME.window, 0, stream, uint32(bytes));
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [index, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return frame(FRAME.settings, 0, 0, payload);
}

export const SETTING = {
  tableSize: 1,
  push: 2,
  streams: 3,
  window: 4,
  frameSize: 5,
  headers: 6,
} as const;

/** A request's fields, with those of an honest GET where not told otherwise. */
export function request(
  path: string,
  more: readonly Field[] = [],
  { method = "GET", scheme = "http", authority = "api.example" } = {},
): readonly Field[] {
  return [
    [":method", method],
    [":scheme", scheme],
    [":authority", authority],
    [":path", path],
    ...more,
  ];
}

export interface H2Answer {
  readonly status: number;
  readonly body: string;
  /** Of RST_STREAM; absent when the answer ended by itself. */
  readonly reset: number | undefined;
}

export interface FrameClient extends AsyncDisposable {
  readonly socket: Socket;
  send(...parts: readonly Uint8Array[]): void;
  /** All frames so far. */
  readonly frames: readonly Frame[];
  /** The first frame that fits, past or to come; rejects when the connection ends before. */
  until(what: string, fits: (frame: Frame) => boolean): Promise<Frame>;
  /** What a stream was answered, once it has ended. */
  answer(stream: number): Promise<H2Answer>;
  /** The code of GOAWAY, once the connection has ended; undefined without one. */
  closed(): Promise<number | undefined>;
  close(): void;
}

export interface FrameClientOptions {
  /** Default: preface and SETTINGS with an empty table, so that answers are readable. */
  readonly hello?: readonly Uint8Array[];
  /** Default: the server's SETTINGS are acknowledged as soon as they come. */
  readonly acknowledges?: boolean;
}

const HELLO = [PREFACE, settings([SETTING.tableSize, 0])];

export async function frameClient(
  address: { readonly host: string; readonly port: number },
  options: FrameClientOptions = {},
): Promise<FrameClient> {
  const socket = connect({ host: address.host, port: address.port, noDelay: true });
  const frames: Frame[] = [];
  let pending = Buffer.alloc(0);
  const state = { isClosed: false };
  let wake: (() => void)[] = [];
  const changed = (): void => {
    const woken = wake;
    wake = [];
    for (const resolve of woken) resolve();
  };
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const taken = takeFrame(pending);
      if (taken === undefined) break;
      pending = pending.subarray(9 + taken.payload.length);
      frames.push(taken);
      const isSettings = taken.type === FRAME.settings && (taken.flags & FLAG.ack) === 0;
      if (isSettings && options.acknowledges !== false && socket.writable) {
        socket.write(frame(FRAME.settings, FLAG.ack, 0));
      }
    }
    changed();
  });
  // A reset is an end like another: what counts is what had arrived.
  socket.on("error", () => socket.destroy());
  socket.once("close", () => {
    state.isClosed = true;
    changed();
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  const change = (): Promise<void> => new Promise((resolve) => wake.push(resolve));
  const until = async (what: string, fits: (frame: Frame) => boolean): Promise<Frame> => {
    for (let next = 0; ;) {
      for (; next < frames.length; next++) {
        const found = frames[next];
        if (found !== undefined && fits(found)) return found;
      }
      if (state.isClosed) throw new Error(`The connection ended before ${what}: ${show(frames)}`);
      await change();
    }
  };
  const close = (): void => {
    socket.destroy();
  };
  for (const part of options.hello ?? HELLO) socket.write(part);
  return {
    socket,
    send: (...parts) => {
      if (socket.writable) socket.write(Buffer.concat(parts));
    },
    frames,
    until,
    answer: async (stream) => {
      const last = await until(
        `the end of stream ${stream}`,
        (one) => one.stream === stream && (one.type === FRAME.rst || endsStream(one)),
      );
      return answerOf(frames, stream, last);
    },
    closed: async () => {
      while (!state.isClosed) await change();
      return frames.findLast(({ type }) => type === FRAME.goaway)?.payload.readUInt32BE(4);
    },
    close,
    [Symbol.asyncDispose]: () => {
      close();
      return Promise.resolve();
    },
  };
}

function answerOf(frames: readonly Frame[], stream: number, last: Frame): H2Answer {
  const own = frames.filter((one) => one.stream === stream);
  const head = own.find(
    ({ type, payload }) => type === FRAME.headers && statusOf(payload) >= 200,
  )?.payload;
  return {
    status: head === undefined ? 0 : statusOf(head),
    body: Buffer.concat(
      own.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload),
    ).toString("latin1"),
    reset: last.type === FRAME.rst ? last.payload.readUInt32BE(0) : undefined,
  };
}

function endsStream({ type, flags }: Frame): boolean {
  return (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0;
}

function takeFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 9) return undefined;
  const length = bytes.readUIntBE(0, 3);
  if (bytes.length < 9 + length) return undefined;
  return {
    type: bytes[3] ?? 0,
    flags: bytes[4] ?? 0,
    stream: bytes.readUInt32BE(5) & 0x7fffffff,
    payload: bytes.subarray(9, 9 + length),
  };
}

/** RFC 7541 Appendix A: the statuses that have an index of their own. */
const INDEXED: Readonly<Record<number, number>> = {
  0x88: 200,
  0x89: 204,
  0x8a: 206,
  0x8b: 304,
  0x8c: 400,
  0x8d: 404,
  0x8e: 500,
};
/** RFC 7541 Appendix B, digits alone: `0`, `1`, `2` have five bits, the others six. */
const DIGITS: ReadonlyMap<string, string> = new Map([
  ["00000", "0"],
  ["00001", "1"],
  ["00010", "2"],
  ...Array.from(
    { length: 7 },
    (_, i) => [(25 + i).toString(2).padStart(6, "0"), `${i + 3}`] as const,
  ),
]);

/** Of a header block whose first field is :status, as an encoder without a table writes it; 0 if it is not. */
function statusOf(payload: Buffer): number {
  let at = 0;
  // Changes of the table's size come first.
  while (((payload[at] ?? 0) & 0xe0) === 0x20) at++;
  const first = payload[at] ?? 0;
  const indexed = INDEXED[first];
  if (indexed !== undefined) return indexed;
  if (first !== 0x48 && first !== 0x08 && first !== 0x18) return 0;
  const length = payload[at + 1] ?? 0;
  const value = payload.subarray(at + 2, at + 2 + (length & 0x7f));
  if ((length & 0x80) === 0) return Number(value.toString("latin1"));
  const bits = [...value].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  let digits = "";
  for (let i = 0; digits.length < 3;) {
    const size = DIGITS.has(bits.slice(i, i + 5)) ? 5 : 6;
    const digit = DIGITS.get(bits.slice(i, i + size));
    if (digit === undefined) return 0;
    digits += digit;
    i += size;
  }
  return Number(digits);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** RFC 7541 §5.1 with a prefix of seven bits. */
function integer(value: number): Buffer {
  if (value < 0x7f) return Buffer.of(value);
  const bytes = [0x7f];
  let rest = value - 0x7f;
  for (; rest >= 0x80; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.of(...bytes, rest);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function show(frames: readonly Frame[]): string {
  return frames.map(({ type, flags, stream }) => `${type}/${flags}@${stream}`).join(" ");
}
