import process from "node:process";
import { createInterface } from "node:readline";

/** Sends a message to the test that started this program with `startChild`. */
export function send(message: unknown): void {
  process.stdout.write(JSON.stringify(message) + "\n");
}

/**
 * The test's messages. Iterating keeps this program alive, and the program exits when the test is gone: no child
 * outlives its test.
 */
export async function* messages(): AsyncGenerator<unknown> {
  for await (const line of createInterface({ input: process.stdin })) yield JSON.parse(line);
  process.exit(0);
}
