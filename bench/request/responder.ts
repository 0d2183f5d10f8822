/** The upstream where there is no nginx: sockets, and as little reading as an answer needs. Whole bodies are awaited. */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { ANSWER, ANSWERS_KIB } from "./upstream.ts";

const PLAIN = answer(ANSWER);
const SIZED = new Map(
  ANSWERS_KIB.map((kib) => [`/orders/answer-${kib}k`, answer("x".repeat(kib * 1_024))]),
);

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => undefined); // `close` follows, and there is nothing to do
  serve(socket);
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  process.send?.((server.address() as AddressInfo).port);
});
process.on("disconnect", () => process.exit(0));

function serve(socket: Socket): void {
  let left = 0;
  let head = "";
  let path = "";
  socket.on("data", (chunk) => {
    if (left > 0) {
      left -= chunk.length;
      if (left <= 0) socket.write(SIZED.get(path) ?? PLAIN);
      return;
    }
    head += chunk.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    if (end === -1) return;
    path = head.slice(head.indexOf(" ") + 1, head.indexOf(" ", head.indexOf(" ") + 1));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))?.[1];
    left = Number(length ?? 0) - (head.length - end - 4);
    head = "";
    if (left <= 0) socket.write(SIZED.get(path) ?? PLAIN);
  });
}

function answer(body: string): Buffer {
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}
