import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { join } from "node:path";
import type { Order, Outcome } from "./generator.ts";
import { memoryVerdict } from "./soak.ts";

const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST = Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

describe("the load generator", () => {
  let generator: ChildProcess;
  let server: Server;
  const sockets = new Set<Socket>();
  beforeEach(() => {
    generator = fork(join(import.meta.dirname, "generator.ts"), {
      serialization: "advanced",
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
  });
  afterEach(async () => {
    const gone = once(generator, "exit");
    generator.kill("SIGKILL");
    await gone;
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  async function serve(answer: (socket: Socket) => void): Promise<number> {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("data", () => answer(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  async function run(order: Order): Promise<Outcome> {
    generator.send(order);
    const [outcome] = (await once(generator, "message")) as [Outcome];
    return outcome;
  }

  const common = { requests: [REQUEST], statuses: [200] };

  test("counts a stall for every request that was due in it, not only for the one in flight", async () => {
    let held: Socket[] | undefined = [];
    const port = await serve((socket) => {
      if (held === undefined) return void socket.write(ANSWER);
      if (held.push(socket) > 1) return;
      setTimeout(() => {
        for (const one of held ?? []) one.write(ANSWER);
        held = undefined;
      }, 200);
    });
    const order = {
      ...common,
      port,
      kind: "open",
      connections: 1,
      perSecond: 100,
      seconds: 0.4,
    } as const;
    const { answered, wrong, latenciesMs } = await run(order);
    expect({ answered, wrong }).toEqual({ answered: 40, wrong: 0 });
    // Twenty were due during the stall; each waited for what was left of it.
    expect(latenciesMs.filter((ms) => ms > 100).length).toBeGreaterThanOrEqual(10);
  });

  test("counts another status, and a connection that ends without an answer, as wrong", async () => {
    let asked = 0;
    const port = await serve((socket) => {
      asked += 1;
      if (asked % 2 === 0) socket.destroy();
      else socket.write(ANSWER.replace("200 OK", "503 No"));
    });
    const { answered, wrong } = await run({
      ...common,
      port,
      kind: "open",
      connections: 2,
      perSecond: 1_000,
      seconds: 0.05,
    });
    expect({ answered, wrong }).toEqual({ answered: 50, wrong: 50 });
  });

  test("reads an answer in pieces, and one whose body is chunked", async () => {
    const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let asked = 0;
    const port = await serve((socket) => {
      asked += 1;
      const answer = asked % 2 === 0 ? ANSWER : chunked;
      socket.write(answer.slice(0, 20));
      setImmediate(() => socket.write(answer.slice(20)));
    });
    const { answered, wrong } = await run({
      ...common,
      port,
      kind: "open",
      connections: 1,
      perSecond: 1_000,
      seconds: 0.02,
    });
    expect({ answered, wrong }).toEqual({ answered: 20, wrong: 0 });
  });

  test("holds as many idle connections as ordered, and lets go of them", async () => {
    const port = await serve((socket) => socket.write(ANSWER));
    const { answered, wrong } = await run({ ...common, port, kind: "hold", connections: 150 });
    expect({ answered, wrong }).toEqual({ answered: 150, wrong: 0 });
    const open = [...sockets].filter(({ destroyed }) => !destroyed);
    expect(open).toHaveLength(150);
    const closed = open.map((socket) => once(socket, "close"));
    await run({ ...common, port, kind: "hold", connections: 0 });
    await Promise.all(closed);
  });
});

describe("memoryVerdict()", () => {
  test("calls memory flat that breathes after warming up", () => {
    expect(memoryVerdict([60, 80, 100, 120, 119, 121, 118, 123, 120])).toMatchObject({
      flat: true,
    });
  });

  test("calls memory that grows by more than a twentieth not flat, and by how much", () => {
    expect(memoryVerdict([60, 80, 100, 110, 120, 130, 140, 150, 160])).toEqual({
      flat: false,
      sentence: "memory is NOT flat: 120.0 MiB in the middle third, +30.0 MiB in the last",
    });
  });
});
