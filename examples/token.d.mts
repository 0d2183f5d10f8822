/** Of token.mjs, for the tests that are written in TypeScript. */
export declare const ISSUER: string;
export declare function exampleJwks(): string;
export declare function exampleToken(claims?: Readonly<Record<string, unknown>>): string;
