/** Returns the candidate that is most similar to a misspelt word; undefined if none is similar. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const edits = distance(word.slice(0, 30), candidate);
    if (edits >= least || edits > Math.min(2, candidate.length / 2)) continue;
    best = candidate;
    least = edits;
  }
  return best;
}

/** Returns the edit distance of two words, ignoring case (Wagner and Fischer 1974). */
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
