import { readFileSync } from "node:fs";

/** The results of a number of tests. */
export interface Report {
  passed: number;
  /** The tests that failed, each with its file if it is known. */
  failed: string[];
  /** One reason for each skipped test. */
  skipped: string[];
  /** Tests that measure time and were left for later. */
  timed: string[];
}

/** Returns a report of no tests. */
export function newReport(...failed: string[]): Report {
  return { passed: 0, failed, skipped: [], timed: [] };
}

// The options of `test.ts` are written into the test's name, because runners report nothing else.

/** A text in the name of each test that measures time. */
export const TIMED = "[timed: ";

/** The end of the name of a test that measures time. */
export function timedMark(reason: string): string {
  return ` ${TIMED}${reason}]`;
}

/** The end of the name of a skipped test. */
export function skipMark(reason: string): string {
  return ` [skipped: ${reason}]`;
}

/** Records a test that did not run. */
function addIgnored(report: Report, name: string): void {
  const reason = /\[skipped: (.*)\]$/.exec(name)?.[1];
  if (reason !== undefined) report.skipped.push(reason);
  else if (name.includes(TIMED)) report.timed.push(name);
  else report.failed.push(`${name}: ignored without a reason; see "skip" in tests/README.md`);
}

/** Reports whether `--filter` selects a test, by a part of its name or by a /regular expression/. */
export function matches(name: string, filter: string): boolean {
  const pattern = /^\/(.*)\/$/.exec(filter)?.[1];
  return pattern === undefined ? name.includes(filter) : new RegExp(pattern).test(name);
}

/** A line of JSON that `run_file.ts` writes as each event happens and {@linkcode readEvents} reads. */
export type Event =
  | { event: "begin"; test: string }
  | { event: "end"; test: string; outcome: "passed" | "failed" | "ignored" }
  /** An error outside of tests. */
  | { event: "error"; what: string }
  /** All tests have ended; the process is about to end. */
  | { event: "done"; declared: number };

/** The time limit in milliseconds of a test on Bun and Node, unless the test sets another one. */
export const TEST_TIMEOUT = 120_000;

/**
 * Counts the tests in a JUnit report of `deno test`. Steps count with their test, as in Deno's own summary.
 *
 * @param exit how `deno test` ended; undefined for exit code 0. If no test failed, another exit (a file that does not
 * compile, an error outside of tests) counts as one failure
 * @param filter the text that the tests' names had to contain
 */
export function readReport(file: string, exit: string | undefined, filter: string): Report {
  const report = newReport();
  let count = 0;
  for (const suite of suitesOf(file)) {
    const names = new Set<string>();
    for (const [, escaped = "", body = ""] of suite.matchAll(TEST_CASE)) {
      if (isStep(escaped, names)) continue;
      names.add(escaped);
      count++;
      const name = unescaped(escaped);
      if (body.includes("<skipped")) {
        if (matches(name, filter)) addIgnored(report, name);
      } else if (/<(failure|error)\b/.test(body)) report.failed.push(name);
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

/** Reports whether a name is that of a step. Steps follow the tests of their file and are named "test > step". */
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
 * @param label the file's name in the output
 * @param exit how its process ended; undefined for exit code 0. The process must have reached its last test
 */
export function readEvents(file: string, label: string, exit: string | undefined): Report {
  const report = newReport();
  const fail = (what: string) => report.failed.push(`${label}: ${what}`);
  let running: string | undefined;
  let isDone = false;
  for (const line of read(file).split("\n").filter(Boolean)) {
    const event = JSON.parse(line) as Event;
    if (event.event === "begin") running = event.test;
    else if (event.event === "error") fail(event.what);
    else if (event.event === "done") {
      isDone = true;
      if (event.declared === 0) fail("it declares no test");
    } else {
      running = undefined;
      if (event.outcome === "passed") report.passed++;
      if (event.outcome === "failed") fail(event.test);
      if (event.outcome === "ignored") addIgnored(report, event.test);
    }
  }
  const ended = exit ?? "its process ended";
  if (running !== undefined) fail(`${running}: ${ended} in it`);
  else if (!isDone && report.failed.length === 0) fail(`${ended} before its last test`);
  else if (exit !== undefined && report.failed.length === 0) fail(ended);
  return report;
}

/** Returns a file's text, or an empty text if it does not exist because nothing ran. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
