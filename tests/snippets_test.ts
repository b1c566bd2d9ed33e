// The code on the pages for users is right: its types are checked, it runs, and its comments state its values.

import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parse } from "yaml";
import { parseConfigFile } from "../src/connection/config_file.ts";
import { until, within } from "./conformance/fixture.ts";
import { brokerState } from "./support/broker_state.ts";
import { noControl } from "./support/conditions.ts";
import { blocksOf, type Snippet, snippetsOf, userPages } from "./support/pages/pages.ts";
import {
  channelNames,
  checked,
  moduleOf,
  namesBroker,
  namesRedis,
  type Places,
  programOf,
  rowsOf,
} from "./support/pages/snippets.ts";
import type { Outcome, Task } from "./support/pages/snippet_worker.ts";
import { redisUri } from "./support/redis_setup.ts";
import { test } from "./support/test.ts";
import { ROOT } from "./support/test_files.ts";

/** The most blocks that are not checked, on all pages together. */
const MOST_IGNORED = 0;
/** The most blocks that are checked and do not run. */
const MOST_CHECKED_ONLY = 1;

const pages = userPages();
const snippets = pages.flatMap((page) => snippetsOf(page));
const tables = pages.map((page) => ({ page, rows: rowsOf(page) }))
  .filter(({ rows }) => rows.length > 0);

const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-snippets-"));
globalThis.addEventListener("unload", () => rmSync(folder, { recursive: true, force: true }));
const places: Places = {
  broker: process.env.BROKER ?? "amqp://localhost",
  redis: await redisUri(),
  folder,
};

const fileOf = (name: string) => join(folder, `${name.replaceAll(/\W/g, "_")}.ts`);
const snippetFile = ({ page, line }: Snippet) => fileOf(`${page}_${line}`);

/**
 * Runs programs one after the other in an isolate. After a failure the next program gets a new isolate, because the
 * failed program may still run.
 */
class Isolate implements Disposable {
  #worker: Worker | undefined;

  async run(task: Task): Promise<Outcome> {
    const worker = this.#worker ??= new Worker(
      new URL("support/pages/snippet_worker.ts", import.meta.url),
      { type: "module" },
    );
    try {
      const ended = new Promise<Outcome>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
      });
      worker.postMessage(task);
      const outcome = await within(ended);
      if (outcome.error !== undefined) this[Symbol.dispose]();
      return outcome;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}

Deno.test("snippets: the types of all programs on the pages are right", () => {
  const files: string[] = [];
  const write = (file: string, text: string) => {
    writeFileSync(file, text);
    files.push(file);
  };
  for (const snippet of snippets) {
    if (snippet.use === "run" || snippet.use === "check") {
      write(snippetFile(snippet), programOf(snippet, places));
    }
  }
  for (const { page, rows } of tables) write(fileOf(page), moduleOf(rows, places));
  const args = ["check", "-q", "--config", join(ROOT, "deno.json"), ...files];
  const { status, stderr } = spawnSync(Deno.execPath(), args, {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  equal(status, 0, stderr);
});

for (const page of pages) {
  const runs = snippets.filter((each) => each.page === page && each.use === "run");
  if (runs.length === 0) continue;
  const skip = runs.some(({ text }) => namesBroker(text)) && noControl;
  test(`snippets: each program of ${page} does what it says`, { skip }, async (t) => {
    using isolate = new Isolate();
    for (const snippet of runs) {
      await t.step(`line ${snippet.line}`, async () => {
        const file = snippetFile(snippet);
        writeFileSync(file, programOf(snippet, places));
        const { error } = await isolate.run({
          url: pathToFileURL(file).href,
          names: channelNames(snippet.text),
          ...namesBroker(snippet.text) && { connection: places.broker },
          ...namesRedis(snippet.text) && { connection: places.redis },
        });
        equal(error, undefined, error);
      });
    }
  });
}

test("snippets: README's first program runs on a broker, and leaves no queue", {
  skip: noControl,
}, async () => {
  const [first] = snippets;
  const file = fileOf("first");
  writeFileSync(file, programOf(first!, places));
  const before = (await brokerState())!.queues.length;
  using isolate = new Isolate();
  process.env.CHANNELTS_URI = places.broker;
  try {
    const { error } = await isolate.run({ url: pathToFileURL(file).href, names: ["jobs"] });
    equal(error, undefined, error);
  } finally {
    delete process.env.CHANNELTS_URI;
  }
  await until(async () => (await brokerState())!.queues.length <= before, 10_000);
});

for (const { page, rows } of tables) {
  Deno.test(`snippets: each row of the tables of ${page} does what it says`, async (t) => {
    const file = fileOf(page);
    const text = moduleOf(rows, places);
    writeFileSync(file, text);
    using isolate = new Isolate();
    const url = pathToFileURL(file).href;
    let held = 0;
    for (const [i, { title, lines }] of rows.entries()) {
      ok(lines.length > 0, `${title}: no snippet`);
      await t.step(title, async () => {
        const { error, claims } = await isolate.run({
          url,
          function: `row${i}`,
          names: channelNames(text),
        });
        equal(error, undefined, error);
        held = claims;
      });
    }
    const stated = rows.flatMap(({ lines }) => lines).filter((line) => line.includes(" // "));
    equal(held, stated.length, "a comment states nothing that can be checked");
  });
}

Deno.test("snippets: each block says what is done with it", () => {
  const unclear = snippets.filter(({ use }) => use === undefined)
    .map(({ page, line, info }) => `${page}:${line - 1}: "ts ${info}"`);
  const expected = 'expected "ts", "ts check REASON", "ts tested FILE" or "ts ignore REASON"';
  deepEqual(unclear, [], expected);
});

Deno.test("snippets: few blocks are left unchecked, each with a reason", () => {
  const titles = (use: string) =>
    snippets.filter((each) => each.use === use)
      .map(({ page, line, reason }) => `${page}:${line}: ${reason}`);
  ok(titles("ignore").length <= MOST_IGNORED, titles("ignore").join("\n"));
  ok(titles("check").length <= MOST_CHECKED_ONLY, titles("check").join("\n"));
});

Deno.test("snippets: a block that another test runs names that test", () => {
  for (const { page, line, language, info } of pages.flatMap((page) => blocksOf(page))) {
    const tested = /^tested (\S+)$/.exec(info)?.[1];
    const isOther = ["js", "jsx", "tsx", "python", "go"].includes(language);
    if (tested === undefined) {
      ok(!isOther, `${page}:${line}: no test runs it; write "${language} tested FILE"`);
      continue;
    }
    const file = join(ROOT, tested);
    ok(existsSync(file), `${page}:${line}: ${tested} does not exist`);
    ok(readFileSync(file, "utf8").includes(page), `${tested} does not name ${page}`);
  }
});

Deno.test("snippets: a wrong comment fails, and so does a comment that cannot be checked", async () => {
  const wrong = { title: "", program: "", lines: ["[1, 2] // [1]"] };
  const error = { title: "", program: "", lines: ["await 1 // RangeError"] };
  const right = { title: "", program: "", lines: ["[1, 2] // [1, 2]"] };
  const file = fileOf("wrong");
  writeFileSync(file, moduleOf([wrong, error, right], places));
  using isolate = new Isolate();
  const run = (name: string) =>
    isolate.run({ url: pathToFileURL(file).href, function: name, names: [] });
  match((await run("row0")).error!, /AssertionError/);
  match((await run("row1")).error!, /AssertionError/);
  deepEqual(await run("row2"), { claims: 1 });
  throws(() => checked("const n = 6; // 7"), /nothing checks the comment/);
  throws(() => checked("}); // 7"), /nothing checks the comment/);

  const unhandled = fileOf("unhandled");
  writeFileSync(
    unhandled,
    'void Promise.reject(new Error("lost")); await new Promise((end) => setTimeout(end, 1000));',
  );
  match((await isolate.run({ url: pathToFileURL(unhandled).href, names: [] })).error!, /lost/);
});

Deno.test("snippets: the pages have programs, comments that are checked, and tables", () => {
  const claims = snippets.flatMap(({ text }) => text.split("\n"))
    .filter((line) => checked(line) !== line);
  ok(claims.length >= 15, `${claims.length} comments`);
  const rows = tables.flatMap(({ rows }) => rows);
  ok(rows.length >= 52, `${rows.length} rows`);
});

for (const page of pages) {
  Deno.test(`snippets: the blocks of ${page} that are not TypeScript are valid`, async () => {
    for (const { line, language, text } of blocksOf(page)) {
      const where = `${page}:${line}`;
      ok(language !== "", `${where}: the block has no language`);
      if (language === "json") JSON.parse(text);
      if (language === "yaml") {
        const value = parse(text);
        if (value?.connection !== undefined) await parseConfigFile(where, text);
      }
      if (language === "sh") checkCommands(where, text);
    }
  });
}

/** Checks that the tasks and files exist that a block of commands names. */
function checkCommands(where: string, text: string): void {
  const { tasks } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  for (const [, name] of text.matchAll(/deno(?:@2)? task ([\w:]+)/g)) {
    ok(name! in tasks, `${where}: there is no task ${name}`);
  }
  for (const [path] of text.matchAll(/\b(?:tests|examples|bench|docs)\/[\w./-]+/g)) {
    ok(existsSync(join(ROOT, path)), `${where}: there is no file ${path}`);
  }
}
