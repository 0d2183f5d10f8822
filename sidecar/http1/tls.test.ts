/** Where a connection's end is the answer's end, TLS knows one end from another by itself. */
import { connect } from "node:tls";
import { expect, test } from "@jest/globals";
import { systemClock } from "../../runtime/clock.ts";
import { silentLog } from "../../runtime/log.ts";
import { tlsFolder } from "../../test/support/acceptor.ts";
import { authority } from "../../test/support/certificates.ts";
import { openLane } from "../../test/support/lane.ts";
import { waitFor } from "../../test/support/wait.ts";
import { watchTlsFiles } from "../connection/tls-files.ts";
import { createMetrics } from "../metrics.ts";

test("an answer to HTTP/1.0 that breaks off over TLS ends without a word of farewell", async () => {
  const issuer = await authority();
  using folder = tlsFolder(await issuer.issue({ dns: ["orders.example"] }));
  const options = { clock: systemClock, log: silentLog, metrics: createMetrics() };
  using tls = await watchTlsFiles(folder.files, options);
  await using lane = await openLane({ tls });
  lane.upstream.answer = (_request, socket) => {
    socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  };
  const { address } = lane.path;
  const socket = connect({ ...address, servername: "orders.example", ca: issuer.cert });
  socket.on("error", () => socket.destroy());
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
  });
  socket.write("GET / HTTP/1.0\r\nHost: orders.example\r\n\r\n");
  await waitFor("the record", () => lane.records.length === 1);
  expect(lane.records).toMatchObject([{ outcome: "cut", status: 200, code: "upstream.reset" }]);
  await waitFor("the connection to be gone", () => lane.path.connections === 0);
  await waitFor("what was sent before", () => received.endsWith("half"));
  expect(lane.errors).toEqual([]);
  socket.destroy();
});
