import { readFileSync } from "node:fs";

/** The results of a test run. */
export interface Report {
  passed: number;
  failed: number;
}

/**
 * Counts the tests in a JUnit report that `deno test` wrote. Steps count with their test, as in Deno's own summary.
 *
 * @param code what `deno test` exited with: if no test failed, its failure (a file that does not compile, an error
 * outside of tests) counts as one
 */
export function readReport(file: string, code: number): Report {
  const report: Report = { passed: 0, failed: 0 };
  for (const suite of suitesOf(file)) {
    const names = new Set<string>();
    for (const [, name = "", body = ""] of suite.matchAll(TEST_CASE)) {
      if (isStep(name, names)) continue;
      names.add(name);
      if (body.includes("<skipped")) continue; // ignored, or not what --filter asked for
      if (/<(failure|error)\b/.test(body)) report.failed++;
      else report.passed++;
    }
  }
  if (code !== 0 && report.failed === 0) report.failed = 1;
  return report;
}

const TEST_CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function suitesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("<testsuite ").slice(1);
  } catch {
    return []; // there is none if nothing ran
  }
}

/** Steps follow the tests of their file, named "test > step". */
function isStep(name: string, tests: Set<string>): boolean {
  const parts = name.split(" &gt; ");
  return parts.some((_, i) => i > 0 && tests.has(parts.slice(0, i).join(" &gt; ")));
}
