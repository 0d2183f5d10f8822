declare const exported: { readonly llhttpBinary: () => Uint8Array<ArrayBuffer> };
export = exported;
