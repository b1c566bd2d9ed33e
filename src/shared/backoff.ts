/**
 * Returns how many milliseconds to wait before the next attempt: twice as many after each failure, and at random half
 * of that to all of it.
 *
 * @param failures the number of earlier failures, not counting the last
 */
export function backOff(failures: number, shortest: number, longest: number): number {
  return varied(Math.min(shortest * 2 ** Math.min(failures, 20), longest));
}

/** Returns half of `ms` to all of it, at random, so that processes that failed together do not retry together. */
export function varied(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
