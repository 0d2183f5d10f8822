/**
 * The Reply of an exchange over node:http. Node frames the answer; what stands in it is ours, and a header
 * that Node would refuse is a TypeError before anything is sent.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Deadlines } from "../deadlines.ts";
import type { HeaderLine, Reply, ReplyHead } from "../exchange.ts";

/** After a refusal, so much of an unread body is taken off the wire, lest a reset destroys our answer on its way. */
const LINGER_BYTES = 256 * 1024;
const LINGER_MS = 1_000;

export interface NodeReplyOptions {
  readonly deadlines: Deadlines;
  readonly isDraining: () => boolean;
  /** The answer ends the connection: nothing behind this request counts. */
  readonly onEnding: () => void;
}

export function createReply(
  request: IncomingMessage,
  response: ServerResponse,
  { deadlines, isDraining, onEnding }: NodeReplyOptions,
): Reply {
  let status = 0;
  const writeHead = (head: ReplyHead, close: boolean): void => {
    if (head.status < 200 || head.status > 599) {
      throw new RangeError(`Cannot answer with status ${head.status}: it must be from 200 to 599`);
    }
    const flat: string[] = [];
    for (const { key, name, value } of head.headers) {
      flat.push(name, value);
      if (key === "date") response.sendDate = false;
    }
    if (close || isDraining()) flat.push("Connection", "close");
    response.writeHead(head.status, head.reason, flat);
    status = head.status;
  };
  // Whoever has answered before all was read must not read on: what follows is the rest of an old request.
  response.once("finish", () => {
    if (request.complete) return;
    onEnding();
    request.socket.destroySoon();
  });
  return {
    get begun() {
      return response.headersSent;
    },
    get status() {
      return status;
    },
    proceed: () => {
      response.writeContinue();
    },
    head: (head) => {
      writeHead(head, false);
      // A head is news: an event stream's caller waits for it before the first event.
      response.flushHeaders();
    },
    body: response,
    trailers: (lines: readonly HeaderLine[]) => {
      response.addTrailers(lines.map(({ name, value }): [string, string] => [name, value]));
    },
    answer: (head, body, close) => {
      if (close) onEnding();
      writeHead(head, close);
      if (!close || request.complete) {
        response.end(body);
        return;
      }
      response.write(body);
      linger(request, deadlines, () => {
        response.end();
      });
    },
    cut: () => {
      response.destroy();
    },
    onClosed: (listener) => {
      const tell = (): void => {
        listener(response.writableFinished);
      };
      // The caller may have gone while the decision was made, and then there is no event any more.
      if (response.closed || response.destroyed) tell();
      else response.once("close", tell);
    },
  };
}

/** Reads and forgets what the caller still sends, within bounds (as RFC 9112 §9.6 asks for). */
function linger(request: IncomingMessage, deadlines: Deadlines, done: () => void): void {
  let taken = 0;
  let isOver = false;
  const over = (): void => {
    if (isOver) return;
    isOver = true;
    disarm();
    request.pause();
    done();
  };
  const disarm = deadlines.arm(LINGER_MS, over);
  request.on("data", (chunk: Buffer) => {
    taken += chunk.length;
    if (taken > LINGER_BYTES) over();
  });
  request.once("end", over);
  request.once("close", over);
  request.once("error", over);
}
