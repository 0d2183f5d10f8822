/** The NATS server with JetStream, for `postern dev` and the tests. */
import type { Part } from "./part.ts";

export const NATS_SERVER: Part = {
  name: "nats-server",
  family: "nats-server",
  version: "2.15.2",
  module: "cli/parts/nats-server",
  goPackage: "github.com/nats-io/nats-server/v2",
  buildTime: "about half a minute",
  // Auth callout and filtered consumers came with 2.10.
  minimum: "2.10.0",
  versionArguments: ["--version"],
  versionPattern: /nats-server: v?(\d+\.\d+\.\d+)/,
  debianPackage: "nats-server",
};
