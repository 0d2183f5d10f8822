/** A run on the wrong Node fails here with a sentence, not later with a riddle. */
export default function globalSetup() {
  if (Number(process.versions.node.split(".")[0]) < 24) {
    throw new Error(
      `Postern's tests need Node 24 or later, this is ${process.version}: run \`npm test\``,
    );
  }
}
