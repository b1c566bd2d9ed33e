// Runs a test file on Bun or Node, which have no `Deno.test`: run_file.ts FILE REPORT [FILTER]
//
// `bun test` and `node --test` are not used, because they pass what Deno fails: a test that ends the process, a timer
// or socket that is left, an error after the last test. A test that never yields hangs them forever.
// Here, as on Deno, each file runs in a process of its own, which must reach its last test and then end by itself.
// REPORT is written as events happen: if a test ends the process, its beginning is in REPORT.

import { appendFileSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { type Event, matches, TEST_TIMEOUT } from "./report.ts";

/** The time in milliseconds in which the process must end by itself after the last test. */
const END_TIMEOUT = 5000;

type Body = (t: Context) => void | Promise<void>;

interface Definition {
  name: string;
  fn: Body;
  ignore?: boolean;
  only?: boolean;
  timeout?: number;
}

// These stay usable if a test file replaces the globals.
const { setTimeout, clearTimeout, setImmediate } = globalThis;

const declared: Definition[] = [];

/** What `Deno.test.afterAll` declared: it runs after the last test. */
const afterAll: (() => void | Promise<void>)[] = [];

/** Merges the arguments of `Deno.test` or `t.step`, in all their forms. */
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

/** The `t` of a test or step. {@linkcode verdict} throws if one of its steps failed. */
class Context {
  readonly name: string;
  readonly origin: string;
  readonly parent?: Context;
  #failed = new Map<string, unknown>();
  #running = new Set<string>();

  constructor(name: string, origin: string, parent?: Context) {
    this.name = name;
    this.origin = origin;
    if (parent) this.parent = parent;
  }

  /**
   * Runs a step, as Deno's does: resolves with false if the step failed or is ignored. The test continues, and fails at
   * its end.
   */
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
      this.#failed.set(name, error);
      return false;
    } finally {
      this.#running.delete(name);
    }
  };

  /** @throws if a step failed or was not awaited */
  verdict(): void {
    if (this.#running.size > 0) throw new Error(`not awaited: the step ${[...this.#running]}`);
    const [first] = this.#failed;
    if (!first) return;
    const names = [...this.#failed.keys()].join(", ");
    throw new Error(`failed: the step ${names}\n${inspect(first[1])}`);
  }
}

/** Fails the running test with an error that is attributed to it. */
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
    const aTurn = new Promise<void>((resolve) => setImmediate(resolve)); // lets pending rejections surface
    await Promise.race([aTurn, failure]);
    context.verdict();
  } finally {
    clearTimeout(timer);
    fail = undefined;
  }
}

async function main(file: string, report: string, filter = ""): Promise<void> {
  const write = (event: Event) => appendFileSync(report, JSON.stringify(event) + "\n");
  const reportError = (what: string, error = "") => {
    print(`error: ${what}\n${error && `${error}\n`}`);
    write({ event: "error", what, error });
    process.exitCode = 1;
  };
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      if (fail) fail(error);
      else reportError(`${event} outside of tests`, inspect(error));
    });
  }

  const test = (...args: unknown[]) => void declared.push(definition(args));
  test.ignore = (...args: unknown[]) => void declared.push(definition(args, { ignore: true }));
  test.afterAll = (fn: () => void | Promise<void>) => void afterAll.push(fn);
  test.only = (...args: unknown[]) => void declared.push(definition(args, { only: true }));
  Object.assign(globalThis, { Deno: { test } });

  const origin = pathToFileURL(file).href;
  await import(origin);

  const only = declared.some((each) => each.only);
  for (const each of declared) {
    if (!matches(each.name, filter) || (only && !each.only)) continue;
    if (each.ignore) {
      write({ event: "end", test: each.name, outcome: "ignored" });
      continue;
    }
    write({ event: "begin", test: each.name });
    const start = performance.now();
    const error = await runTest(each, origin).then(() => undefined, (error) => inspect(error));
    const took = `(${Math.round(performance.now() - start)}ms)`;
    print(`${each.name} ... ${error === undefined ? "ok" : "FAILED"} ${took}\n`);
    if (error === undefined) write({ event: "end", test: each.name, outcome: "passed" });
    else {
      print(`${error}\n`);
      process.exitCode = 1;
      write({ event: "end", test: each.name, outcome: "failed", error });
    }
  }
  for (const fn of afterAll.reverse()) {
    await Promise.resolve(fn()).catch((error) => reportError("afterAll failed", inspect(error)));
  }
  if (only) reportError(`the option "only" was used`);
  write({ event: "done", declared: declared.length });

  setTimeout(() => {
    const left = process.getActiveResourcesInfo?.().filter((each) => each !== "TTYWrap") ?? [];
    reportError(`${END_TIMEOUT} ms after the last test, the process is kept alive by: ${left}`);
    process.exit(1);
  }, END_TIMEOUT).unref();
}

function print(text: string): void {
  process.stdout.write(text);
}

await main(...process.argv.slice(2) as [string, string, string?]);
