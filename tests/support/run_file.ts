// Runs a file of tests on Bun or Node, which lack `Deno.test`: run_file.ts FILE REPORT [FILTER]
//
// Not `bun test` and `node --test`, because they pass what Deno fails: a test that ends the process, a timer or
// socket that is left behind, an error after the last test; and a test that never yields hangs them for good.
// Here each file is a process, as on Deno, which must come to its last test and then end by itself. Whoever starts it
// reads REPORT, which is written as things happen: a test that takes the process with it was begun there.

import { appendFileSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { type Event, matches, TEST_TIMEOUT } from "./report.ts";

/** Milliseconds after the last test in which the process must end by itself. */
const END_TIMEOUT = 5000;

type Body = (t: Context) => void | Promise<void>;

interface Definition {
  name: string;
  fn: Body;
  ignore?: boolean;
  only?: boolean;
  timeout?: number;
}

// What a test file replaces must not stop us.
const { setTimeout, clearTimeout, setImmediate } = globalThis;

const declared: Definition[] = [];

/** The arguments of `Deno.test` and of `t.step`, in all their forms. */
function definition(args: unknown[], extra: Partial<Definition> = {}): Definition {
  const merged: Partial<Definition> = {};
  for (const arg of args) {
    if (typeof arg === "string") merged.name = arg;
    else if (typeof arg === "function") merged.fn = arg as Body;
    else Object.assign(merged, arg);
  }
  for (const option of ["permissions", "retry", "repeats"]) {
    if (option in merged) throw new TypeError(`the option ${option} of a test is Deno's alone`);
  }
  const { fn, name = fn?.name } = merged;
  if (!fn) throw new TypeError("a test needs a function");
  if (!name) throw new TypeError("a test needs a name");
  return { ...merged, ...extra, name, fn };
}

/** `t` of a test or step: what became of its steps is known by {@linkcode verdict}. */
class Context {
  readonly name: string;
  readonly origin: string;
  readonly parent?: Context;
  #failed: string[] = [];
  #running = new Set<string>();

  constructor(name: string, origin: string, parent?: Context) {
    this.name = name;
    this.origin = origin;
    if (parent) this.parent = parent;
  }

  /** Like Deno's: false where the step failed or is ignored; the test goes on, and fails in the end. */
  step = async (...args: unknown[]): Promise<boolean> => {
    const { name, fn, ignore } = definition(args);
    if (ignore) return false;
    this.#running.add(name);
    const context = new Context(name, this.origin, this);
    try {
      await fn(context);
      context.verdict();
      return true;
    } catch (error) {
      print(`  step ${name} ... FAILED\n${inspect(error)}\n`);
      this.#failed.push(name);
      return false;
    } finally {
      this.#running.delete(name);
    }
  };

  /** @throws where a step failed, or was not awaited */
  verdict(): void {
    if (this.#running.size > 0) throw new Error(`not awaited: the step ${[...this.#running]}`);
    if (this.#failed.length > 0) throw new Error(`failed: the step ${this.#failed.join(", ")}`);
  }
}

/** Fails the test that runs, whose error it must be. */
let fail: ((error: unknown) => void) | undefined;

async function runTest({ name, fn, timeout }: Definition, origin: string): Promise<void> {
  const context = new Context(name, origin);
  const limit = timeout || TEST_TIMEOUT;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const failure = new Promise<never>((_, reject) => {
    fail = reject;
    timer = setTimeout(() => reject(new Error(`it did not end within ${limit} ms`)), limit);
  });
  try {
    await Promise.race([fn(context), failure]);
    const aTurn = new Promise<void>((resolve) => setImmediate(resolve)); // what was rejected last shows
    await Promise.race([aTurn, failure]);
    context.verdict();
  } finally {
    clearTimeout(timer);
    fail = undefined;
  }
}

async function main(file: string, report: string, filter = ""): Promise<void> {
  const tell = (event: Event) => appendFileSync(report, JSON.stringify(event) + "\n");
  const trouble = (what: string) => {
    print(`error: ${what}\n`);
    tell({ event: "trouble", what });
    process.exitCode = 1;
  };
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      if (fail) fail(error);
      else trouble(`${event} outside of tests: ${inspect(error)}`);
    });
  }

  const test = (...args: unknown[]) => void declared.push(definition(args));
  test.ignore = (...args: unknown[]) => void declared.push(definition(args, { ignore: true }));
  test.only = (...args: unknown[]) => void declared.push(definition(args, { only: true }));
  Object.assign(globalThis, { Deno: { test } });

  const origin = pathToFileURL(file).href;
  await import(origin);

  const only = declared.some((each) => each.only);
  for (const each of declared) {
    if (!matches(each.name, filter) || (only && !each.only)) continue;
    if (each.ignore) {
      tell({ event: "end", test: each.name, outcome: "ignored" });
      continue;
    }
    tell({ event: "begin", test: each.name });
    const start = performance.now();
    const error = await runTest(each, origin).then(() => undefined, (error) => ({ error }));
    const took = `(${Math.round(performance.now() - start)}ms)`;
    print(`${each.name} ... ${error ? "FAILED" : "ok"} ${took}\n`);
    if (error) {
      print(`${inspect(error.error)}\n`);
      process.exitCode = 1;
    }
    tell({ event: "end", test: each.name, outcome: error ? "failed" : "passed" });
  }
  if (only) trouble(`the option "only" was used`);
  tell({ event: "over", declared: declared.length });

  setTimeout(() => {
    const left = process.getActiveResourcesInfo?.().filter((each) => each !== "TTYWrap") ?? [];
    trouble(`${END_TIMEOUT} ms after the last test something keeps the process alive: ${left}`);
    process.exit(1);
  }, END_TIMEOUT).unref();
}

function print(text: string): void {
  process.stdout.write(text);
}

await main(...process.argv.slice(2) as [string, string, string?]);
