/**
 * Milliseconds before the next try: twice as many after each that failed.
 *
 * @param failures how many tries have failed before the last
 */
export function backOff(failures: number, shortest: number, longest: number): number {
  return varied(Math.min(shortest * 2 ** Math.min(failures, 20), longest));
}

/** Half as much to as much: those who failed together are not to come together again. */
export function varied(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
