/** «Did you mean»: the known name that is at most two typing mistakes away, or one that differs by case only. */

const MAX_MISTAKES = 2;
const MAX_LENGTH = 64;

export function closest(text: string, known: readonly string[]): string | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  let best: string | undefined;
  let least = MAX_MISTAKES + 1;
  for (const name of known) {
    const mistakes =
      name.toLowerCase() === text.toLowerCase() ? 0 : distance(text.toLowerCase(), name);
    // Two mistakes in a word of three letters make another word.
    if (mistakes < least && mistakes <= Math.max(1, name.length / 2)) {
      best = name;
      least = mistakes;
    }
  }
  return best;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  const lower = b.toLowerCase();
  let row = Array.from({ length: lower.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= lower.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === lower[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[lower.length] ?? 0;
}
