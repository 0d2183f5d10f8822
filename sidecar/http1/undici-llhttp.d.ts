/** undici ships Node's parser, compiled to WebAssembly, in a module without types; Node's types lack WebAssembly. */
declare module "undici/lib/llhttp/llhttp-wasm.js" {
  const binary: Uint8Array<ArrayBuffer>;
  export default binary;
}

declare namespace WebAssembly {
  type Imports = Readonly<Record<string, Readonly<Record<string, (...args: number[]) => number>>>>;
  const Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  const Instance: new (module: object, imports: Imports) => { readonly exports: unknown };
}
