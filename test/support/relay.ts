/** A plain TCP relay in front of a service: tells whether a single byte of a request has reached it. */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

export interface Relay {
  readonly port: number;
  /** Bytes that callers have sent through so far. */
  readonly sent: number;
  close(): Promise<void>;
}

export async function startRelay(toPort: number): Promise<Relay> {
  let sent = 0;
  const sockets = new Set<Socket>();
  const server = createServer((caller) => {
    const service = connect(toPort, "127.0.0.1");
    for (const socket of [caller, service]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => {
        caller.destroy();
        service.destroy();
      });
    }
    caller.on("data", (chunk) => {
      sent += chunk.length;
    });
    caller.pipe(service);
    service.pipe(caller);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get sent() {
      return sent;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
