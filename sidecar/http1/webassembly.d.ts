/** As much as the parser needs of what Node's types lack. */
declare namespace WebAssembly {
  type Imports = Readonly<Record<string, Readonly<Record<string, (...args: number[]) => number>>>>;
  const Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  const Instance: new (module: object, imports: Imports) => { readonly exports: unknown };
}
