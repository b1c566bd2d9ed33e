/** The memory entry in the bundlers that programs for the Web are built with. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { until } from "./conformance/fixture.ts";
import { Chromium, findChromium } from "./support/chromium.ts";
import { freePorts } from "./support/net.ts";
import { linkPackages, noNpm, npmPackages } from "./support/npm.ts";
import { installedPackage } from "./support/package.ts";
import { findRuntime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";
import { TESTS } from "./support/test_files.ts";
import { bundle } from "./support/web_bundle.ts";
import { nextApp } from "./web/next_app.ts";

const [node] = (await findRuntime("node")).command;
const chromium = noNpm ? new Error(noNpm) : await findChromium();

/** Why Vite cannot be installed. */
const noVite: string | false = noNpm || await oldNpm();

async function oldNpm(): Promise<string | false> {
  const { stdout } = await promisify(execFile)("npm", ["--version"], { cwd: tmpdir() });
  return parseInt(stdout) < 11 && `npm ${stdout.trim()} cannot install Vite 8: npm 11 can`;
}

const WEB = join(TESTS, "web");

/** Runs a body in a new folder that has the package, packages of `tests/packages`, and the program. */
async function inProject(packages: readonly string[], body: (folder: string) => Promise<void>) {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-web-"));
  try {
    linkPackages((await installedPackage()).folder, folder);
    for (const name of packages) {
      const from = await npmPackages(name);
      const { dependencies } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
      linkPackages(from, folder, Object.keys(dependencies)); // these find their own
    }
    writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
    for (const file of ["main.js", "exercise.js"]) {
      copyFileSync(join(WEB, file), join(folder, file));
    }
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a program and returns what it printed; an error has all that it printed. */
async function output(cwd: string, program: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, NO_COLOR: "1", NEXT_TELEMETRY_DISABLED: "1", CI: "1" };
  try {
    const options = { cwd, env, encoding: "utf8", timeout: 300_000 } as const;
    const { stdout, stderr } = await promisify(execFile)(program, args, options);
    return stdout + stderr;
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout: string; stderr: string };
    throw new Error(`${message}\n${stdout}\n${stderr}`);
  }
}

/** Asserts that a script runs where no module can be loaded, and returns what its parts are. */
function assertStandsAlone(script: string, name: string): void {
  assert.doesNotMatch(script, /\b(?:import|require)\s*\(\s*["'`]|\bfrom\s*["'`]node:/, name);
}

/** Runs scripts in the virtual machine of edge functions, and in Node. */
async function run(folder: string, ...files: string[]): Promise<void> {
  for (const file of files) assertStandsAlone(readFileSync(join(folder, file), "utf8"), file);
  const printed = await output(folder, node, join(folder, "run.mjs"), ...files);
  const results = JSON.parse(printed) as string[][];
  assert.equal(results.length, 2 * files.length);
  for (const parts of results) assert.ok(parts.length > 10, printed);
}

test(
  "bundlers: esbuild, webpack and bun build make scripts that run",
  { skip: noNpm },
  async () => {
    await inProject(["bundlers"], async (folder) => {
      for (const file of ["webpack.mjs", "run.mjs"]) {
        copyFileSync(join(WEB, file), join(folder, file));
      }
      for (const platform of ["browser", "neutral"]) {
        const files = await bundle({
          entryPoints: [join(folder, "main.js")],
          platform,
          minify: true,
          format: "iife",
        });
        writeFileSync(join(folder, `${platform}.js`), files.get("main.js")!);
      }
      const [bun] = (await findRuntime("bun")).command;
      const [webpack, built] = await Promise.all([
        output(folder, node, join(folder, "webpack.mjs")),
        output(
          folder,
          bun,
          "build",
          "--target=browser",
          "--format=iife",
          "--minify",
          "--outfile=bun.js",
          "main.js",
        ),
      ]);
      assert.deepEqual(JSON.parse(webpack), []);
      assert.doesNotMatch(built, /warn|error/i);
      await run(folder, "browser.js", "neutral.js", "webpack.js", "bun.js");
    });
  },
);

test("bundlers: Vite makes a script that runs", { skip: noVite }, async () => {
  await inProject(["bundlers", "vite"], async (folder) => {
    for (const file of ["vite.mjs", "run.mjs"]) copyFileSync(join(WEB, file), join(folder, file));
    const warnings = await output(folder, node, join(folder, "vite.mjs"));
    assert.deepEqual(JSON.parse(warnings.slice(warnings.lastIndexOf("["))), []);
    await run(folder, "dist/vite.js");
  });
});

test("bundlers: a client component and an edge route of Next run", { skip: noNpm }, async () => {
  await inProject([], async (folder) => {
    const packages = await npmPackages("next");
    rmSync(join(folder, "node_modules"), { recursive: true });
    // Next refuses packages outside of the project.
    await output(folder, "cp", "-al", join(packages, "node_modules"), folder)
      .catch(() => output(folder, "cp", "-a", join(packages, "node_modules"), folder));
    const { folder: installed, manifest } = await installedPackage();
    cpSync(
      join(installed, "node_modules", manifest.name),
      join(folder, "node_modules", manifest.name),
      { recursive: true },
    );
    mkdirSync(join(folder, "app", "edge"), { recursive: true });
    for (const [path, text] of Object.entries(nextApp)) writeFileSync(join(folder, path), text);
    copyFileSync(join(WEB, "exercise.js"), join(folder, "app", "exercise.js"));
    const next = join(folder, "node_modules", "next", "dist", "bin", "next");
    const built = await output(folder, node, next, "build");
    process.stdout.write(built);
    assert.doesNotMatch(built, /node:|not supported|channelts/);
    const [port] = await freePorts(1);
    const url = `http://127.0.0.1:${port}/`;
    const server = spawn(node, [next, "start", "-H", "127.0.0.1", "-p", `${port}`], {
      cwd: folder,
      env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" },
      stdio: "ignore",
    });
    const ended = new Promise<void>((resolve) => server.once("close", () => resolve()));
    try {
      await until(
        () => fetch(url).then((response) => response.text()).then(() => true, () => false),
        60_000,
        100,
      );
      const { parts, error } = await (await fetch(`${url}edge`)).json();
      assert.ok(parts?.length > 10, error);
      if (chromium instanceof Error) return;
      await using browser = await Chromium.start(chromium);
      const page = await browser.open(url);
      let text: unknown;
      await until(async () => {
        text = await page.evaluate(`document.querySelector("output").textContent`);
        return text !== "";
      });
      assert.deepEqual(JSON.parse(text as string), { parts });
    } finally {
      server.kill("SIGKILL"); // otherwise it waits until no connection is kept alive
      await ended;
    }
  });
});
