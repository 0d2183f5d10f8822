/**
 * Reads a connection's first bytes until they tell what it speaks, and puts back what is the protocol's. With
 * `readable` and `read()`: bytes taken by `data` could not be put back for node:http2.
 */
import type { Socket } from "node:net";
import type { Opening, OpeningRules } from "./opening.ts";
import { readOpening } from "./opening.ts";

export type Opened = Exclude<Opening, { readonly kind: "incomplete" }> | { readonly kind: "gone" };

/**
 * Calls `done` once, unless the returned function was called before, which puts everything back. Either way the
 * socket has no listener of ours then.
 */
export function readFirstBytes(
  socket: Socket,
  rules: OpeningRules,
  done: (opened: Opened) => void,
): () => void {
  let held: Buffer = Buffer.alloc(0);
  const stop = (): void => {
    socket.removeListener("readable", look);
    socket.removeListener("end", gone);
    socket.removeListener("close", gone);
  };
  const finish = (opened: Opened): void => {
    stop();
    done(opened);
  };
  const gone = (): void => {
    finish({ kind: "gone" });
  };
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const opening = readOpening(held, rules);
    if (opening.kind === "incomplete") return;
    if (opening.kind === "open") {
      const rest = held.subarray(opening.taken);
      if (rest.length > 0) socket.unshift(rest);
    }
    finish(opening);
  };
  socket.on("readable", look);
  socket.once("end", gone);
  socket.once("close", gone);
  return () => {
    stop();
    if (held.length > 0) socket.unshift(held);
  };
}
