/**
 * Why: `npm ci` refuses a lockfile that does not list every optional platform package of a dependency,
 * and a registry mirror that stores only some platforms makes `npm install` write such a lockfile.
 * This adds the missing rows (version, os, cpu, optional), so that `npm ci` works on every machine.
 * Run it after every `npm install <new dependency>`: `node scripts/complete-lock.mjs`.
 */
import { readFileSync, writeFileSync } from "node:fs";

const SYSTEMS = [
  "android",
  "darwin",
  "freebsd",
  "linux",
  "openharmony",
  "win32",
  "sunos",
  "aix",
  "openbsd",
  "netbsd",
];
const CPUS = ["arm64", "x64", "ia32", "arm", "ppc64", "riscv64", "s390x", "loong64"];

const file = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(file, "utf8"));
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const top = `node_modules/${name}`;
    if (path === "" || lock.packages[top] || lock.packages[`${path}/${top}`]) continue;
    const os = SYSTEMS.find((word) => name.includes(word));
    const cpu = CPUS.find((word) => name.includes(word));
    if (os === undefined) continue;
    lock.packages[top] = {
      version: version.replace(/^[\^~]/, ""),
      ...(cpu && { cpu: [cpu] }),
      ...(entry.dev && { dev: true }),
      optional: true,
      os: [os],
    };
    added += 1;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([left], [right]) => (left < right ? -1 : 1)),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`package-lock.json: ${added} platform rows added\n`);
