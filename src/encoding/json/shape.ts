import { JsonError } from "./json_error.ts";
import { elementBytes, largestGap, maxDepth, memoryLimit } from "./limits.ts";

/**
 * Checks the nesting and the memory of a value before its text is parsed. The engine's parser may not recurse, but
 * readers of the value may.
 *
 * @throws {JsonError} for a value that is nested too deep, or takes too much memory
 */
export function checkShape(bytes: Uint8Array): void {
  let memory = memoryLimit(bytes.length);
  let depth = 0;
  /** For each object that the scan is inside of, the length of the array of its properties that are named by numbers. */
  const lengths = [0];
  /** Where the string begins that the scan is inside of; -1 outside of strings. */
  let start = -1;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (start >= 0) {
      if (byte === 0x5c) i++; // a backslash
      else if (byte === 0x22) {
        const index = indexAt(bytes, start, i);
        const length = lengths[depth]!;
        if (index > 0 && index >= length && index - length < largestGap) {
          memory -= elementBytes * (index + 1 - length);
          lengths[depth] = index + 1;
          if (memory < 0) throw new JsonError("a message that takes too much memory");
        }
        start = -1;
      }
    } else if (byte === 0x22) start = i + 1;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) throw new JsonError(`a value nested more than ${maxDepth} deep`);
      lengths[depth] = 0;
    } else if ((byte === 0x5d || byte === 0x7d) && --depth < 0) return; // the parser will reject it
  }
}

/** Returns the array index that the string from `start` to `end` is if it is a key, else -1. Index 0 does not matter. */
function indexAt(bytes: Uint8Array, start: number, end: number): number {
  const first = bytes[start]!;
  if (first !== 0x5c && !(first > 0x30 && first <= 0x39) || end - start > longestIndex) return -1;
  let next = end + 1;
  while (bytes[next] === 0x20 || bytes[next]! >= 0x09 && bytes[next]! <= 0x0d) next++;
  if (bytes[next] !== 0x3a) return -1; // a colon
  let index = 0;
  for (let i = start; i < end; i++) {
    if (bytes[i] === 0x5c) i += 5; // \u0039, for example, ends in the digit that it stands for
    const digit = bytes[i]! - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    index = 10 * index + digit;
  }
  return index;
}

/** The length of an index of ten digits that are all escaped. */
const longestIndex = 60;
