#!/usr/bin/env node
/**
 * The `postern` command. This file alone is read by whatever Node the user has, so it says so when that is too
 * old, and only then loads the program.
 */
const NEEDED_NODE = 24;

if (Number(process.versions.node.split(".")[0]) < NEEDED_NODE) {
  process.stderr.write(
    `postern needs Node ${NEEDED_NODE} or newer: this is ${process.version}; install Node ${NEEDED_NODE}, ` +
      "or inside a clone of Postern use npm start\n",
  );
  process.exit(1);
}

const { main } = await import("./program-main.ts");
process.exitCode = await main(process.argv.slice(2));
