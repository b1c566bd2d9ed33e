import { readFileSync } from "node:fs";

/** The results of tests. */
export interface Report {
  passed: number;
  /** What failed, each with its file where it is known. */
  failed: string[];
}

/** What {@linkcode readEvents} reads and `run_file.ts` writes as things happen: a line of JSON each. */
export type Event =
  | { event: "begin"; test: string }
  | { event: "end"; test: string; outcome: "passed" | "failed" | "ignored" }
  /** Something failed that is no test's. */
  | { event: "trouble"; what: string }
  /** All tests have ended; the process is about to. */
  | { event: "over"; declared: number };

/** Milliseconds that a test may take on Bun and Node, unless it says otherwise. */
export const TEST_TIMEOUT = 120_000;

/**
 * Counts the tests in a JUnit report that `deno test` wrote. Steps count with their test, as in Deno's own summary.
 *
 * @param exit how `deno test` ended: undefined for exit code 0. If no test failed, its failure (a file that does not
 * compile, an error outside of tests) counts as one
 */
export function readReport(file: string, exit: string | undefined): Report {
  const report: Report = { passed: 0, failed: [] };
  let count = 0;
  for (const suite of suitesOf(file)) {
    const names = new Set<string>();
    for (const [, name = "", body = ""] of suite.matchAll(TEST_CASE)) {
      if (isStep(name, names)) continue;
      names.add(name);
      count++;
      if (body.includes("<skipped")) continue; // ignored, or not what --filter asked for
      if (/<(failure|error)\b/.test(body)) report.failed.push(unescaped(name));
      else report.passed++;
    }
  }
  if (exit !== undefined && report.failed.length === 0) report.failed.push(`no test, but ${exit}`);
  else if (count === 0) report.failed.push("there was no test to run");
  return report;
}

const TEST_CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function suitesOf(file: string): string[] {
  return read(file).split("<testsuite ").slice(1);
}

/** Steps follow the tests of their file, named "test > step". */
function isStep(name: string, tests: Set<string>): boolean {
  const parts = name.split(" &gt; ");
  return parts.some((_, i) => i > 0 && tests.has(parts.slice(0, i).join(" &gt; ")));
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replace(/&(\w+);/g, (entity, name) => ENTITIES[name] ?? entity);
}

/**
 * Counts the tests of one file that `run_file.ts` ran.
 *
 * @param label the file, as people know it
 * @param exit how its process ended: undefined for exit code 0. It must have come to its last test
 */
export function readEvents(file: string, label: string, exit: string | undefined): Report {
  const report: Report = { passed: 0, failed: [] };
  const fail = (what: string) => report.failed.push(`${label}: ${what}`);
  let running: string | undefined;
  let over = false;
  for (const line of read(file).split("\n").filter(Boolean)) {
    const event = JSON.parse(line) as Event;
    if (event.event === "begin") running = event.test;
    else if (event.event === "trouble") fail(event.what);
    else if (event.event === "over") {
      over = true;
      if (event.declared === 0) fail("it declares no test");
    } else {
      running = undefined;
      if (event.outcome === "passed") report.passed++;
      if (event.outcome === "failed") fail(event.test);
    }
  }
  const ended = exit ?? "its process ended";
  if (running !== undefined) fail(`${running}: ${ended} in it`);
  else if (!over && report.failed.length === 0) fail(`${ended} before its last test`);
  else if (exit !== undefined && report.failed.length === 0) fail(ended);
  return report;
}

/** A file's text; nothing where there is none, because nothing ran. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
