// Tests of `support/report.ts`: what the end of the output says about a test that failed.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorIn, failureLines, readEvents, readReport, type Report } from "./support/report.ts";

/** Calls a function with a file that has this text. */
function withFile(text: string, use: (file: string) => Report): Report {
  const folder = mkdtempSync(join(tmpdir(), "channelts-report-"));
  try {
    writeFileSync(join(folder, "file"), text);
    return use(join(folder, "file"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

Deno.test("report: a failed test of Deno has its error, and those of its steps", () => {
  const text = `<testsuites><testsuite name="a">
    <testcase name="a &lt;test&gt;" line="1"><failure message="no">Error: no &amp; no
    at a_test.ts:1</failure></testcase>
    <testcase name="steps" line="2"><failure message="2 test steps failed">2 test steps failed.</failure></testcase>
    <testcase name="good" line="3"></testcase>
    <testcase name="steps &gt; one" line="4"><failure message="1 test step failed">1 test step failed.</failure></testcase>
    <testcase name="steps &gt; one &gt; deep" line="5"><failure message="x">TypeError: x</failure></testcase>
    <testcase name="steps &gt; two" line="6"><failure message="y">RangeError: y</failure></testcase>
    <testcase name="steps &gt; three" line="7"></testcase>
  </testsuite></testsuites>`;
  const report = withFile(text, (file) => readReport(file, "code 1", "", () => "not asked"));
  assert.deepEqual(report, {
    passed: 1,
    failed: [
      { what: "a <test>", error: "Error: no & no\n    at a_test.ts:1" },
      { what: "steps", error: "one > deep: TypeError: x\ntwo: RangeError: y\n" },
    ],
    skipped: [],
    timed: [],
  });
});

Deno.test("report: a process that ends without a failed test has the error that it printed", () => {
  const output =
    `one ... ok\n\n\x1b[0m ERRORS \n\n./a_test.ts (uncaught error)\nerror: Error: late\n`;
  const error = "./a_test.ts (uncaught error)\nerror: Error: late";
  const deno = withFile("", (file) => readReport(file, "its end", "", () => errorIn(output)));
  assert.deepEqual(deno.failed, [{ what: "no test, but its end", error }]);
  const begun = JSON.stringify({ event: "begin", test: "one" });
  const other = withFile(begun, (file) => readEvents(file, "a", "its end", () => errorIn(output)));
  assert.deepEqual(other.failed, [{ what: "a: one: its end in it", error }]);
});

Deno.test("report: the errors of a type check are those of its types", () => {
  const types = `TS1184 [ERROR]: Modifiers cannot appear here.\n    declare const a: 1;`;
  const output = `Check a.ts\n${types}\n\nerror: Type checking failed.\n`;
  assert.equal(errorIn(output), `${types}\n\nerror: Type checking failed.`);
});

Deno.test("report: a failed test of another runtime has its error", () => {
  const events = [
    { event: "begin", test: "one" },
    { event: "end", test: "one", outcome: "failed", error: "Error: no" },
    { event: "error", what: "a rejection", error: "Error: late" },
    { event: "done", declared: 1 },
  ].map((event) => JSON.stringify(event)).join("\n");
  const report = withFile(events, (file) => readEvents(file, "a", "code 1", () => "not asked"));
  assert.deepEqual(report.failed, [
    { what: "a: one", error: "Error: no" },
    { what: "a: a rejection", error: "Error: late" },
  ]);
});

Deno.test("report: the end of the output has the first lines of an error, without empty lines", () => {
  const error = `\x1b[31mError: no\x1b[0m\n\n    at ext:cli/test.js:1\n  one\n${
    "x".repeat(300)
  }\nthree`;
  assert.deepEqual(failureLines("FAILED on X", { what: "a test", error }, 3), [
    "FAILED on X: a test",
    "    Error: no",
    "      one",
    `    ${"x".repeat(200)}`,
    "    …",
  ]);
  assert.deepEqual(failureLines("FAILED", { what: "a test", error: "" }, 3), ["FAILED: a test"]);
});
