import { describe, expect, test } from "@jest/globals";
import type { HeaderLine, ReplyHead } from "../exchange.ts";
import { frameHead, trailerText } from "./response-head.ts";

const DATE = "Date: now\r\n";
const line = (name: string, value: string): HeaderLine => ({
  name,
  key: name.toLowerCase(),
  value,
});
const head = (status: number, ...headers: HeaderLine[]): ReplyHead => ({
  status,
  reason: "R",
  headers,
});
const plain = { isHead: false, isHttp10: false };

describe("frameHead()", () => {
  test.each([
    ["a length", head(200, line("Content-Length", "5")), plain, "length", ["Content-Length: 5"]],
    ["no length", head(200), plain, "chunks", ["Transfer-Encoding: chunked"]],
    ["no length, to HTTP/1.0", head(200), { ...plain, isHttp10: true }, "close", []],
    [
      "a length, to HEAD",
      head(200, line("Content-Length", "5")),
      { ...plain, isHead: true },
      "none",
      ["Content-Length: 5"],
    ],
    ["no length, to HEAD", head(200), { ...plain, isHead: true }, "none", []],
    ["a length in 204", head(204, line("Content-Length", "5")), plain, "none", []],
    [
      "a length in 205",
      head(205, line("Content-Length", "5")),
      plain,
      "none",
      ["Content-Length: 0"],
    ],
    [
      "a length in 304",
      head(304, line("Content-Length", "5")),
      plain,
      "none",
      ["Content-Length: 5"],
    ],
  ])("tells one end of the body with %s", (_title, answer, request, bodyEnd, lines) => {
    const framed = frameHead(answer, request, DATE);
    expect(framed.bodyEnd).toBe(bodyEnd);
    expect(framed.text).toBe(
      [`HTTP/1.1 ${answer.status} R`, ...sorted(framed.text, lines), ""].join("\r\n"),
    );
  });

  test("announces trailers only where they can follow", () => {
    const trailer = line("Trailer", "x-sum");
    expect(frameHead(head(200, trailer), plain, DATE).text).toMatch(/\r\nTrailer: x-sum\r\n/);
    const sized = head(200, trailer, line("Content-Length", "1"));
    expect(frameHead(sized, plain, DATE).text).not.toMatch(/Trailer/);
  });

  test("keeps a Date that is there", () => {
    const text = frameHead(head(200, line("date", "then")), plain, DATE).text;
    expect(text).toMatch(/date: then\r\n/);
    expect(text).not.toMatch(/now/);
  });

  test.each([
    ["a name with a space", line("a b", "1")],
    ["an empty name", line("", "1")],
    ["a value with a line end", line("a", "1\r\nSet-Cookie: b")],
    ["a value with a NUL", line("a", "\0")],
    ["a value that is not Latin-1", line("a", "\u0100")],
    ["Transfer-Encoding", line("Transfer-Encoding", "chunked")],
    ["Connection", line("connection", "close")],
    ["Keep-Alive", line("Keep-Alive", "timeout=5")],
    ["Upgrade", line("Upgrade", "x")],
    ["a length that is no number", line("Content-Length", "+5")],
    ["an empty length", line("Content-Length", "")],
  ])("throws a TypeError for %s", (_title, wrong) => {
    expect(() => frameHead(head(200, wrong), plain, DATE)).toThrow(TypeError);
    expect(() => trailerText([wrong])).toThrow(TypeError);
  });

  test("throws a TypeError for two lengths, and for a reason with a line end", () => {
    const length = line("Content-Length", "5");
    expect(() => frameHead(head(200, length, length), plain, DATE)).toThrow("must be one number");
    expect(() => frameHead({ ...head(200), reason: "a\r\nb" }, plain, DATE)).toThrow(TypeError);
  });

  test.each([100, 101, 199, 600, Number.NaN])("throws a RangeError for status %s", (status) => {
    expect(() => frameHead(head(status), plain, DATE)).toThrow(RangeError);
  });
});

/** The lines in the order of the text, so that only which ones there are is compared. */
function sorted(text: string, lines: readonly string[]): string[] {
  return [...lines, "Date: now"].sort((a, b) => text.indexOf(a) - text.indexOf(b));
}
