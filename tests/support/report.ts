import { readFileSync } from "node:fs";

/** The results of a number of tests. */
export interface Report {
  passed: number;
  failed: Failure[];
  /** One reason for each skipped test. */
  skipped: string[];
  /** Tests that measure time and were left for later. */
  timed: string[];
}

/** A test that failed, or another reason why a run failed. */
export interface Failure {
  /** The name of the test, with its file if it is known. */
  what: string;
  /** The error, with its stack; an empty text if it is known only from the output. */
  error: string;
}

/** Returns a report of no tests. */
export function newReport(...failed: Failure[]): Report {
  return { passed: 0, failed, skipped: [], timed: [] };
}

/** How long a line of an error is at most in {@linkcode failureLines}. */
const MOST_COLUMNS = 200;

/**
 * Returns the lines of a failure for the end of the output: a heading with its name, and the first lines of its error.
 *
 * @param most how many lines of the error are returned at most
 */
export function failureLines(heading: string, { what, error }: Failure, most: number): string[] {
  // deno-lint-ignore no-control-regex
  const lines = error.replaceAll(/\x1b\[[\d;]*m/g, "").split("\n").map((line) => line.trimEnd())
    .filter((line) => line !== "" && !/^\s+at .*\b(ext|node):/.test(line));
  const shown = lines.slice(0, most).map((line) => `    ${line.slice(0, MOST_COLUMNS)}`);
  if (shown.length < lines.length) shown.push("    …");
  return [`${heading}: ${what}`, ...shown];
}

/** Returns the part of a program's output that says why it failed: from its first error on, or else its end. */
export function errorIn(output: string): string {
  // deno-lint-ignore no-control-regex
  const lines = output.replaceAll(/\x1b\[[\d;]*m/g, "").trimEnd().split("\n");
  const first = lines.findIndex((line) =>
    /^(error\b|\w*Error\b|TS\d+ \[ERROR\]|.*\(uncaught error\)$)/.test(line)
  );
  return lines.slice(first < 0 ? -15 : first).join("\n");
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
  else {
    const what = `${name}: ignored without a reason; see "skip" in tests/README.md`;
    report.failed.push({ what, error: "" });
  }
}

/** Reports whether `--filter` selects a test, by a part of its name or by a /regular expression/. */
export function matches(name: string, filter: string): boolean {
  const pattern = /^\/(.*)\/$/.exec(filter)?.[1];
  return pattern === undefined ? name.includes(filter) : new RegExp(pattern).test(name);
}

/** A line of JSON that `run_file.ts` writes as each event happens and {@linkcode readEvents} reads. */
export type Event =
  | { event: "begin"; test: string }
  | { event: "end"; test: string; outcome: "passed" | "failed" | "ignored"; error?: string }
  /** An error outside of tests. */
  | { event: "error"; what: string; error?: string }
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
 * @param output returns the error in what `deno test` printed
 */
export function readReport(
  file: string,
  exit: string | undefined,
  filter: string,
  output: () => string,
): Report {
  const report = newReport();
  let count = 0;
  for (const suite of suitesOf(file)) {
    const names = new Set<string>();
    const failures = new Map<string, Failure>();
    for (const [, escaped = "", body = ""] of suite.matchAll(TEST_CASE)) {
      const [, , error] = FAILURE.exec(body) ?? [];
      const test = testOf(escaped, names);
      if (test !== undefined) { // a step: its error is that of its test
        const failure = failures.get(test);
        if (!failure || error === undefined || STEPS_FAILED.test(error)) continue;
        if (STEPS_FAILED.test(failure.error)) failure.error = "";
        failure.error += `${unescaped(`${escaped.slice(test.length + 6)}: ${error}`)}\n`;
        continue;
      }
      names.add(escaped);
      count++;
      const name = unescaped(escaped);
      if (body.includes("<skipped")) {
        if (matches(name, filter)) addIgnored(report, name);
      } else if (error !== undefined) {
        const failure = { what: name, error: unescaped(error) };
        failures.set(escaped, failure);
        report.failed.push(failure);
      } else report.passed++;
    }
  }
  const fail = (what: string) => report.failed.push({ what, error: output() });
  if (exit !== undefined && report.failed.length === 0) fail(`no test, but ${exit}`);
  else if (count === 0) fail("there was no test to run");
  return report;
}

const TEST_CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

const FAILURE = /<(failure|error)\b[^>]*>([\s\S]*?)<\/\1>/;

/** The error of a test whose steps failed. */
const STEPS_FAILED = /^\d+ test steps? failed\.$/;

function suitesOf(file: string): string[] {
  return read(file).split("<testsuite ").slice(1);
}

/** Returns the test that a step belongs to. Steps follow the tests of their file and are named "test > step". */
function testOf(name: string, tests: Set<string>): string | undefined {
  const parts = name.split(" &gt; ");
  return parts.map((_, i) => parts.slice(0, i).join(" &gt; ")).find((test) => tests.has(test));
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
 * @param output returns the error in what its process printed
 */
export function readEvents(
  file: string,
  label: string,
  exit: string | undefined,
  output: () => string,
): Report {
  const report = newReport();
  const fail = (what: string, error = output()) =>
    void report.failed.push({ what: `${label}: ${what}`, error });
  let running: string | undefined;
  let isDone = false;
  for (const line of read(file).split("\n").filter(Boolean)) {
    const event = JSON.parse(line) as Event;
    if (event.event === "begin") running = event.test;
    else if (event.event === "error") fail(event.what, event.error ?? "");
    else if (event.event === "done") {
      isDone = true;
      if (event.declared === 0) fail("it declares no test");
    } else {
      running = undefined;
      if (event.outcome === "passed") report.passed++;
      if (event.outcome === "failed") fail(event.test, event.error);
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
export function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
