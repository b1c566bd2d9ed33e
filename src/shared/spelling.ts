/** The candidate that a word was likely meant to be; undefined if it is like none of them. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let found: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const letters = distance(word.slice(0, 30), candidate);
    if (letters >= least || letters > Math.min(2, candidate.length / 2)) continue;
    found = candidate;
    least = letters;
  }
  return found;
}

/** How many letters to insert, delete or replace to make b of a (Wagner and Fischer 1974), in any case. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, x] of [...a.toLowerCase()].entries()) {
    const next = [i + 1];
    for (const [j, y] of [...b.toLowerCase()].entries()) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (x === y ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1)!;
}
