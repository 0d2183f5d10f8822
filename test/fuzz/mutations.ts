/** Ways to break a text at any place of it, for the fuzz tests; each adds what is special to its own kind of text. */
import * as fc from "fast-check";

export type Mutation = (text: string) => string;

export const at = (text: string, where: number): number => where % (text.length + 1);

/** A piece more, another byte, or some bytes less: three equal chances. */
export function anywhere(
  spot: fc.Arbitrary<number>,
  pieces: readonly string[],
): readonly fc.Arbitrary<Mutation>[] {
  return [
    fc.tuple(spot, fc.constantFrom(...pieces)).map(
      ([where, piece]): Mutation =>
        (text) =>
          text.slice(0, at(text, where)) + piece + text.slice(at(text, where)),
    ),
    fc.tuple(spot, fc.nat({ max: 255 })).map(
      ([where, byte]): Mutation =>
        (text) =>
          text.slice(0, at(text, where)) +
          String.fromCharCode(byte) +
          text.slice(at(text, where) + 1),
    ),
    fc.tuple(spot, fc.nat({ max: 12 })).map(
      ([where, length]): Mutation =>
        (text) =>
          text.slice(0, at(text, where)) + text.slice(at(text, where) + length),
    ),
  ];
}
