import process from "node:process";
import { skipMark, timedMark } from "./report.ts";

/** What the harness has to know of a test besides its name and body. */
export interface TestOptions {
  /**
   * The reason why the test cannot run here; false or undefined if it can. A skipped test is counted with its reason.
   */
  skip?: string | false | undefined;
  /**
   * The reason why the test measures time. Such a test runs after all others, beside at most one file, and once more,
   * alone, if it fails. It is for figures that another process on the same machine can spoil, not for a limit that only
   * ends a hang.
   */
  timed?: string;
}

/** Declares a test, as `Deno.test` does, on all three runtimes. */
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
