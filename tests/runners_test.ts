/** The examples of docs/testing.md, each run by its runner in a project that has installed the package. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { linkPackages, noNpm, npmPackages } from "./support/npm.ts";
import { installedPackage } from "./support/package.ts";
import { blocksOf, readPage } from "./support/pages/pages.ts";
import { findRuntime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";

const page = "docs/testing.md";

/** A block of JavaScript, whose first line is a comment with the name of its file. */
interface Example {
  /** The heading above it. */
  readonly heading: string;
  readonly file: string;
  readonly text: string;
}

const examples: readonly Example[] = (() => {
  const lines = readPage(page).split("\n");
  return blocksOf(page).filter(({ language }) => language === "js").map(({ line, text }) => ({
    heading: lines.slice(0, line).findLast((each) => each.startsWith("## "))?.slice(3) ?? "",
    file: /^\/\/ (\S+)\n/.exec(text)![1]!,
    text,
  }));
})();
const [program, ...suites] = examples;

/** How a suite is run, with the packages that it needs and what is printed if both of its tests pass. */
interface Runner {
  readonly command: () => Promise<readonly string[]>;
  readonly packages?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly passed: RegExp;
}

const nodeCommand = async (...args: string[]) => [...(await findRuntime("node")).command, ...args];

const runners: Readonly<Record<string, Runner>> = {
  "Vitest": {
    command: () => nodeCommand("node_modules/vitest/vitest.mjs", "run"),
    packages: ["vitest"],
    passed: /Tests +2 passed/,
  },
  "Jest": {
    command: () => nodeCommand("--experimental-vm-modules", "node_modules/jest/bin/jest.js"),
    packages: ["jest", "@jest/globals"],
    passed: /Tests: +2 passed/,
  },
  "node --test": {
    command: () => nodeCommand("--test"),
    passed: /^# pass 2$|^ℹ pass 2$/m,
  },
  "bun test": {
    command: async () => [(await findRuntime("bun")).command[0], "test"],
    passed: /2 pass/,
  },
  "Deno.test": {
    command: () => Promise.resolve([Deno.execPath(), "test", "--no-check"]),
    packages: ["@sinonjs/fake-timers"],
    passed: /2 passed/,
  },
};

Deno.test(`${page} has an example for each runner`, () => {
  assert.deepEqual(suites.map(({ heading }) => heading), Object.keys(runners));
});

for (const { heading, file, text } of suites) {
  test(`${page}: the example of ${heading} passes`, { skip: noNpm }, async () => {
    const { command, packages = [], env, passed } = runners[heading]!;
    const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-runner-"));
    try {
      linkPackages((await installedPackage()).folder, folder);
      if (packages.length > 0) linkPackages(await npmPackages("runners"), folder, packages);
      writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
      writeFileSync(join(folder, program!.file), program!.text);
      writeFileSync(join(folder, file), text);
      const [name, ...args] = await command();
      assert.match(await output(name!, args, folder, { ...process.env, ...env }), passed);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test(`${page}: what it says of Deno's sanitizers`, { skip: noNpm }, async () => {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-runner-"));
  try {
    linkPackages((await installedPackage()).folder, folder);
    writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
    writeFileSync(join(folder, "leaks_test.js"), leaks);
    const [name, ...args] = [Deno.execPath(), "test", "-A", "--no-check", "--reporter=tap"];
    const tap = await output(name!, args, folder, process.env).catch(String);
    const outcomes = [...tap.matchAll(/^(ok|not ok) \d+ - (.*)$/gm)].map((
      [, how, what],
    ) => [what, how]);
    assert.deepEqual(outcomes, [
      ["closed", "not ok"],
      ["deleted", "ok"],
      ["delayed", "not ok"],
      ["delayed and deleted", "ok"],
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Tests that leave what the page says. */
const leaks = `
import { Channel } from "@channelts/channel";

const use = (name, connection, end, delay) =>
  Deno.test({ name, sanitizeOps: true, sanitizeResources: true }, async () => {
    const channel = new Channel({ connection });
    await channel.put(7, delay);
    if (delay === undefined) await channel.get();
    await end(channel);
  });

use("closed", "memory:", (channel) => channel.close());
use("deleted", "memory:", (channel) => channel.delete());
use("delayed", "memory:", () => {}, { delay: 60_000 });
use("delayed and deleted", "memory:", (channel) => channel.delete(), { delay: 60_000 });
`;

/** Runs a program that must succeed, and returns what it printed. */
async function output(
  name: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const temporary = join(cwd, "node_modules", ".tmp"); // Jest's cache
  mkdirSync(temporary);
  try {
    const { stdout, stderr } = await promisify(execFile)(name, args, {
      cwd,
      env: { ...env, TMPDIR: temporary, NO_COLOR: "1", FORCE_COLOR: "0", NODE_NO_WARNINGS: "1" },
      encoding: "utf8",
      timeout: 60_000,
    });
    return stdout + stderr;
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout: string; stderr: string };
    throw new Error(`${message}\n${stdout}\n${stderr}`);
  }
}
