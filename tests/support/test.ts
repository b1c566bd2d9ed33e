import process from "node:process";
import { skipMark, timedMark } from "./report.ts";

/** What the harness has to know of a test beside its name and its body. */
export interface TestOptions {
  /** Why the test cannot run here; false or undefined where it can. It is counted as skipped, with this reason. */
  skip?: string | false | undefined;
  /**
   * Why the test measures time. Such a test runs after all others, with nothing beside it, and once more if it fails:
   * for figures that another process on the same machine can spoil, not for a limit that only ends a hang.
   */
  timed?: string;
}

/** Declares a test as `Deno.test` does; on Bun and Node, too. */
export function test(
  name: string,
  options: TestOptions,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const { skip, timed } = options;
  if (timed !== undefined) name += timedMark(timed);
  if (skip) name += skipMark(skip);
  const isLater = timed !== undefined && process.env.TEST_TIMED === "later";
  Deno.test({ name, ignore: Boolean(skip) || isLater, fn });
}
