/**
 * The parser's WebAssembly, out of undici. CommonJS: bundled as an ECMAScript module, each of its 54,000 bytes
 * would become a property with a getter of its own, at 32 MiB.
 */
"use strict";

module.exports = { llhttpBinary: () => require("undici/lib/llhttp/llhttp-wasm.js") };
