/** Divides what a link had, so that no script has too much of it. There is one part at least. */
export function inParts<T>(all: readonly T[]): T[][] {
  const count = Math.max(1, Math.ceil(all.length / mostAtOnce));
  return Array.from({ length: count }, (_, i) => all.slice(i * mostAtOnce, (i + 1) * mostAtOnce));
}

/** How many loans one script continues, and how many claims it forgets: while it runs, the server serves nobody else. */
const mostAtOnce = 1000;
