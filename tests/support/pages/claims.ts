// The comments of snippets as assertions: `await ch.get(); // 7` and `await ch.get(); // ChannelClosedError`.
// The programs that snippets.ts generates import this module.

import { deepEqual, rejects } from "node:assert/strict";

let count = 0;

/** Returns how many claims held. */
export function claims(): number {
  return count;
}

/** Asserts that a value is the one that the comment states. It narrows no type, unlike `deepEqual`. */
export function equals(given: unknown, stated: unknown): void {
  deepEqual(given, stated);
  count++;
}

/** Asserts that the action throws an error of this name. */
export async function throws(action: () => unknown, name: string): Promise<void> {
  await rejects(async () => void await action(), { name });
  count++;
}
