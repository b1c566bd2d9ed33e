// npm packages that only tests need. `tests/packages/NAME` pins them by `package.json`, `package-lock.json` and
// `.npmrc`; the lock has no addresses, so any registry serves it. Invariants:
//
// - A folder of the cache is complete: it is made under another name and renamed.
// - Its name is a hash of the pinned files and the platform, so it is used again in later runs and never changes.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { cacheFolder } from "./debian.ts";
import { findProgram } from "./installation.ts";
import { logLine } from "./supervisor.ts";
import { TESTS } from "./test_files.ts";

/** The pinned files of a folder in `tests/packages`. */
const FILES = ["package.json", "package-lock.json", ".npmrc"] as const;

/** The reason why no npm package can be installed, for `skip` of `test.ts`. */
export const noNpm: string | false = findProgram("npm") === undefined && "npm is not on the PATH";

const installing = new Map<string, Promise<string>>();

/**
 * Installs the packages of `tests/packages/NAME` with `npm ci`, without their install scripts, unless an earlier run
 * has done so.
 *
 * @returns the folder that contains `node_modules`; it is shared and must not be changed
 * @throws what npm printed
 */
export function npmPackages(name: string): Promise<string> {
  let folder = installing.get(name);
  if (!folder) installing.set(name, folder = install(name));
  return folder;
}

/**
 * Links every package of `from`, a folder that {@linkcode npmPackages} returned, into `project/node_modules`. Further
 * packages can then be added to that folder.
 *
 * @param names the packages to link; by default all
 */
export function linkPackages(
  from: string,
  project: string,
  names: readonly string[] = packagesOf(from),
): void {
  for (const name of names) {
    const link = join(project, "node_modules", name);
    mkdirSync(join(link, ".."), { recursive: true });
    symlinkSync(join(from, "node_modules", name), link, "junction");
  }
}

/** The names of the packages in the `node_modules` of a folder, those with a scope included. */
function packagesOf(folder: string): string[] {
  const modules = join(folder, "node_modules");
  return readdirSync(modules).filter((name) => !name.startsWith(".")).flatMap((name) =>
    name.startsWith("@") ? readdirSync(join(modules, name)).map((each) => `${name}/${each}`) : name
  );
}

async function install(name: string): Promise<string> {
  const source = join(TESTS, "packages", name);
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const file of FILES) hash.update(readFileSync(join(source, file)));
  const cache = join(cacheFolder(), "npm");
  const folder = join(cache, `${name}-${hash.digest("hex").slice(0, 16)}`);
  mkdirSync(cache, { recursive: true });
  await locked(`${folder}.lock`, () => existsSync(folder), async () => {
    const start = performance.now();
    const fresh = `${folder}.${process.pid}`;
    rmSync(fresh, { recursive: true, force: true });
    try {
      mkdirSync(fresh);
      for (const file of FILES) copyFileSync(join(source, file), join(fresh, file));
      await npm(fresh, ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
        .catch((error: Error) => {
          throw new Error(`tests/packages/${name} could not be installed: ${error.message}`);
        });
      if (!existsSync(folder)) renameSync(fresh, folder);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
    const seconds = Math.round((performance.now() - start) / 1000);
    logLine(`installed the npm packages of tests/packages/${name} in ${seconds} s`);
  });
  return folder;
}

/**
 * Runs npm in a folder.
 *
 * @param variables the environment
 * @returns what it wrote to stdout
 * @throws the last lines that it wrote
 */
export function npm(
  folder: string,
  args: readonly string[],
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(variables)) {
    // An npx above this process tells its children which folder it runs in.
    if (value === undefined || /^npm_(package|lifecycle|config_local_prefix)/.test(name)) continue;
    env[name] = value;
  }
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, env, encoding: "utf8", timeout: 300_000 } as const;
    execFile("npm", ["--prefix", folder, ...args], options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const lines = (stdout + stderr).trim().split("\n").slice(-20);
      reject(new Error(`npm ${args.join(" ")}: ${error.message}\n${lines.join("\n")}`));
    });
  });
}

/**
 * Runs `action` unless `isDone`, in one process at a time.
 *
 * @param file the lock, which names the process that holds it; the lock of a dead process is removed. Two processes may
 * remove it at the same time, and then both act; the results are the same.
 */
export async function locked(
  file: string,
  isDone: () => boolean,
  action: () => Promise<void>,
): Promise<void> {
  while (!isDone()) {
    try {
      writeFileSync(file, `${process.pid}`, { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      if (isStale(file)) rmSync(file, { force: true });
      else await delay(100);
      continue;
    }
    try {
      if (!isDone()) await action();
    } finally {
      rmSync(file, { force: true });
    }
  }
}

function isStale(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    if (pid > 0) process.kill(pid, 0); // 0: just created, its number is not written yet
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
