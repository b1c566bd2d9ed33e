// Bundles for the runtimes of the Web, made by esbuild.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { npmPackages } from "./npm.ts";
import { findRuntime } from "./runtimes.ts";
import { ROOT, TESTS } from "./test_files.ts";

/** The files of a bundle, by name. */
export type Files = ReadonlyMap<string, string>;

/**
 * Bundles modules with esbuild.
 *
 * @param options esbuild's; by default, a bundle is an ES module
 * @param plugin one of those in `tests/web/esbuild.mjs`
 * @throws esbuild's errors, and its warnings
 */
export async function bundle(
  options: Record<string, unknown>,
  plugin?: "conformance" | "web" | "node",
): Promise<Files> {
  const [node] = (await findRuntime("node")).command;
  const program = join(TESTS, "web", "esbuild.mjs");
  const { stdout } = await promisify(execFile)(
    node,
    [program, JSON.stringify(options), ...plugin === undefined ? [] : [plugin]],
    { cwd: await npmPackages("esbuild"), encoding: "utf8", maxBuffer: 2 ** 26, timeout: 90_000 },
  );
  return new Map(JSON.parse(stdout));
}

/**
 * Bundles the conformance suite: on memory (`tests/web/conformance.ts`), or on a home (`tests/web/home_conformance.ts`). It
 * tests the entry for memory or for the Web in place of `mod.ts`, and has the modules of `tests/web/shims` in place of
 * Node's.
 */
export function conformanceBundle(on: "memory" | "home" = "memory"): Promise<Files> {
  const file = on === "memory" ? "conformance.ts" : "home_conformance.ts";
  return bundle({
    entryPoints: [join(TESTS, "web", file)],
    platform: "browser",
    target: "es2022", // lowers `await using`, which not every runtime has
    nodePaths: [join(ROOT, "node_modules")],
    define: { "Deno.test": "declareTest" },
  }, on === "memory" ? "conformance" : "web");
}
