import { readFileSync } from "node:fs";

/** The results of tests. */
export interface Report {
  passed: number;
  /** What failed, each with its file where it is known. */
  failed: string[];
  /** Why tests were skipped: a reason for each. */
  skipped: string[];
  /** Tests that measure time, and were left for later. */
  timed: string[];
}

/** A report of no test. */
export function newReport(...failed: string[]): Report {
  return { passed: 0, failed, skipped: [], timed: [] };
}

// What `test.ts` knows of a test stands in its name, which is all that each runner tells.

/** What the names of tests that measure time contain. */
export const TIMED = "[timed: ";

/** The end of the name of a test that measures time. */
export function timedMark(reason: string): string {
  return ` ${TIMED}${reason}]`;
}

/** The end of the name of a test that is skipped. */
export function skipMark(reason: string): string {
  return ` [skipped: ${reason}]`;
}

/** Notes a test that was not run. */
function addIgnored(report: Report, name: string): void {
  const reason = /\[skipped: (.*)\]$/.exec(name)?.[1];
  if (reason !== undefined) report.skipped.push(reason);
  else if (name.includes(TIMED)) report.timed.push(name);
  else report.failed.push(`${name}: ignored without a reason; see "skip" in tests/README.md`);
}

/** Whether `--filter` asks for a test: by a part of its name, or by a /regular expression/. */
export function matches(name: string, filter: string): boolean {
  const pattern = /^\/(.*)\/$/.exec(filter)?.[1];
  return pattern === undefined ? name.includes(filter) : new RegExp(pattern).test(name);
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
 * @param filter what the tests' names had to contain
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
  const report = newReport();
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
      if (event.outcome === "ignored") addIgnored(report, event.test);
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
