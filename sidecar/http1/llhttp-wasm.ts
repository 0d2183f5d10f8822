/**
 * llhttp, the parser of Node itself, as WebAssembly: one instance for the process, made on first use. Its
 * callbacks only note what they are told; nothing of ours runs while the parser does, so nothing of ours can
 * throw through it or enter it twice. All lenient flags stay off.
 */
import { keepWebAssemblySmall } from "../../runtime/memory.ts";
import binary from "./llhttp-binary.cjs";

/** What a running parser is told. Positions are relative to the bytes that it was given. */
export interface Notes {
  field(start: number, length: number): void;
  value(start: number, length: number): void;
  body(start: number, length: number): void;
  /** True: no body follows, whatever the head says (the answer to HEAD). */
  headersComplete(upgrade: boolean, shouldKeepAlive: boolean): boolean;
  messageComplete(): void;
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(bytes: number): number;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  llhttp_reset(parser: number): void;
  llhttp_execute(parser: number, data: number, length: number): number;
  llhttp_finish(parser: number): number;
  llhttp_resume(parser: number): void;
  llhttp_resume_after_upgrade(parser: number): void;
  llhttp_get_error_pos(parser: number): number;
  llhttp_get_error_reason(parser: number): number;
}

/** llhttp's own numbers (undici/lib/llhttp/constants.js, ERROR). */
export const OK = 0;
export const PAUSED = 21;
const SKIP_BODY = 1;

export const REQUEST = 1;
export const RESPONSE = 2;

/** Bytes that are parsed at once: as many as a socket delivers. */
export const WINDOW_BYTES = 64 * 1024;
/** Parsers kept for the next connection, of each type. */
const MAX_POOLED = 256;

let running: Notes | undefined;
let machine: Machine | undefined;

export interface Machine {
  take(type: number): number;
  give(type: number, parser: number): void;
  /** Copies into the window what `execute` will read. */
  load(bytes: Uint8Array): void;
  /** Runs over so many bytes of the window. */
  execute(parser: number, length: number, notes: Notes): number;
  finish(parser: number, notes: Notes): number;
  resume(parser: number): void;
  resumeAfterUpgrade(parser: number): void;
  /** Where in the window the last `execute` stopped. */
  stoppedAt(parser: number): number;
  reason(parser: number): string;
}

export function llhttp(): Machine {
  machine ??= start();
  return machine;
}

function start(): Machine {
  let window = 0;
  const now = (): Notes => {
    if (running === undefined) throw new TypeError("Cannot take a note: no parser runs");
    return running;
  };
  const env = {
    wasm_on_message_begin: () => OK,
    // The start line is read as a whole; see start-line.ts.
    wasm_on_url: () => OK,
    wasm_on_status: () => OK,
    wasm_on_header_field: (_parser: number, at: number, length: number) => {
      now().field(at - window, length);
      return OK;
    },
    wasm_on_header_value: (_parser: number, at: number, length: number) => {
      now().value(at - window, length);
      return OK;
    },
    wasm_on_headers_complete: (_parser: number, _status: number, up: number, keep: number) =>
      now().headersComplete(up === 1, keep === 1) ? SKIP_BODY : PAUSED,
    wasm_on_body: (_parser: number, at: number, length: number) => {
      now().body(at - window, length);
      return OK;
    },
    wasm_on_message_complete: () => {
      now().messageComplete();
      return PAUSED;
    },
  };
  keepWebAssemblySmall();
  const instance = new WebAssembly.Instance(new WebAssembly.Module(binary.llhttpBinary()), { env });
  const wasm = instance.exports as Exports;
  window = wasm.malloc(WINDOW_BYTES);
  let memory = new Uint8Array(wasm.memory.buffer);
  const pools: Readonly<Record<number, number[]>> = { [REQUEST]: [], [RESPONSE]: [] };

  return {
    take: (type) => {
      const pooled = pools[type]?.pop();
      if (pooled !== undefined) return pooled;
      const parser = wasm.llhttp_alloc(type);
      if (parser === 0) throw new RangeError("Cannot make a parser: WebAssembly memory is full");
      return parser;
    },
    give: (type, parser) => {
      const pool = pools[type];
      if (pool === undefined || pool.length >= MAX_POOLED) {
        wasm.llhttp_free(parser);
        return;
      }
      wasm.llhttp_reset(parser);
      pool.push(parser);
    },
    load: (bytes) => {
      // Memory that has grown is a new buffer.
      if (memory.buffer !== wasm.memory.buffer) memory = new Uint8Array(wasm.memory.buffer);
      memory.set(bytes, window);
    },
    execute: (parser, length, notes) => {
      running = notes;
      try {
        return wasm.llhttp_execute(parser, window, length);
      } finally {
        running = undefined;
      }
    },
    finish: (parser, notes) => {
      running = notes;
      try {
        return wasm.llhttp_finish(parser);
      } finally {
        running = undefined;
      }
    },
    resume: (parser) => {
      wasm.llhttp_resume(parser);
    },
    resumeAfterUpgrade: (parser) => {
      wasm.llhttp_resume_after_upgrade(parser);
    },
    stoppedAt: (parser) => wasm.llhttp_get_error_pos(parser) - window,
    reason: (parser) => textAt(wasm, wasm.llhttp_get_error_reason(parser)),
  };
}

/** A C string of the module's own. */
function textAt(wasm: Exports, at: number): string {
  const bytes = Buffer.from(wasm.memory.buffer);
  const end = bytes.indexOf(0, at);
  return at === 0 || end === -1 ? "" : bytes.toString("latin1", at, end);
}
