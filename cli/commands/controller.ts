/** `postern controller`: the process of dist/controller.js, which reads its settings and ends by itself. */
export async function controllerCommand(): Promise<number> {
  await import("../../controller/main.ts");
  return new Promise(() => undefined);
}
