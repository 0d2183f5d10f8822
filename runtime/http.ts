/**
 * node:http without its cost: an `import` of that module evaluates all that it re-exports, the WebSocket and
 * fetch machinery among them, and that is 13 MB of resident memory that no sidecar needs.
 */
export const http = process.getBuiltinModule("node:http");
