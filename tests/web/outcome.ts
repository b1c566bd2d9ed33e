// Runs declared tests in a page or a Worker of a browser.

import type { Share } from "../conformance/fixture.ts";

interface Definition {
  readonly name: string;
  readonly ignore: boolean;
  fn(): void | Promise<void>;
}

/** The results of a run. */
export interface Outcome {
  readonly passed: number;
  /** The tests that failed, each with its error. */
  readonly failed: readonly string[];
  readonly skipped: number;
  /** Parts of names that no test has. */
  readonly unknown: readonly string[];
}

const declared: Definition[] = [];

/** Stands for `Deno.test`, which the bundler replaces by it. */
(globalThis as unknown as { declareTest(test: Definition): void }).declareTest = (test) => {
  declared.push(test);
};

/**
 * Runs the tests that were declared.
 *
 * @param notHere tests that cannot pass, by the start of their names, each with the reason
 * @param atATime how many run at a time: most mostly wait
 * @param share those that run; without it, all do
 */
export async function outcome(
  notHere: Readonly<Record<string, string>>,
  atATime: number,
  share: Share = { part: 0, of: 1 },
): Promise<Outcome> {
  const unknown = new Set(Object.keys(notHere));
  const queue = declared.filter(({ name, ignore }) => {
    const part = Object.keys(notHere).find((part) => name.replace(/^[^:]*: /, "").startsWith(part));
    if (part !== undefined) unknown.delete(part);
    return !ignore && part === undefined;
  }).filter((_, i) => i % share.of === share.part);
  let skipped = declared.length - queue.length;
  let passed = 0;
  const failed: string[] = [];
  const runTests = async () => {
    for (let next; (next = queue.shift()) !== undefined;) {
      try {
        await next.fn();
        passed++;
      } catch (error) {
        // Of `shims/absent.ts`, which stands for child processes and servers.
        if ((error as Error)?.message === "this runtime has no such module") skipped++;
        else failed.push(`${next.name}: ${(error as Error)?.stack ?? error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atATime }, runTests));
  return { passed, failed, skipped, unknown: [...unknown] };
}
