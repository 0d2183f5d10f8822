/** `postern sidecar`: the process of dist/sidecar.js, which reads its settings and ends by itself. */
export async function sidecarCommand(): Promise<number> {
  await import("../../sidecar/main.ts");
  return new Promise(() => undefined);
}
