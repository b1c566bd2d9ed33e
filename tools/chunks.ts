import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { promisify } from "node:util";
import { npmPackages } from "../tests/support/npm.ts";
import { findRuntime } from "../tests/support/runtimes.ts";

/** The files that modules have become. */
export interface Joined {
  /** Paths such as `mod.js` and `chunks/link-ABC.js`, and texts. */
  readonly files: Map<string, string>;
  /** The files that do something when they are loaded, and those that import them: `./mod.js`. */
  readonly sideEffects: readonly string[];
}

/**
 * Joins the modules of the package into few files: each entry, what several entries need, and what an entry loads later.
 * Node takes longer to find and to link a hundred files than to run them.
 *
 * @param scripts the modules: paths such as `src/channel/channel.js`, and texts
 * @param entries the paths of the entries, which keep their names
 * @param effects the paths of the modules that do something when they are loaded
 * @returns the files, readable and without comments; `chunks/` has those that are no entries
 * @throws what esbuild printed
 */
export async function joined(
  scripts: ReadonlyMap<string, string>,
  entries: readonly string[],
  effects: readonly string[],
): Promise<Joined> {
  const esbuild = join(await npmPackages("esbuild"), "node_modules/esbuild/bin/esbuild");
  const { command: [node] } = await findRuntime("node");
  const folder = mkdtempSync(join(tmpdir(), "channelts-chunks-"));
  try {
    for (const [path, text] of scripts) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const options = [
      ...["--bundle", "--splitting", "--format=esm", "--platform=neutral", "--target=es2022"],
      ...["--packages=external", "--external:node:*", "--legal-comments=none", "--charset=utf8"],
      ...["--outdir=out", "--chunk-names=chunks/[name]-[hash]", "--log-level=warning"],
    ];
    const args = [esbuild, ...entries, ...options];
    const { stderr } = await promisify(execFile)(node, args, { cwd: folder });
    if (stderr !== "") throw new Error(`esbuild: ${stderr}`);
    return read(join(folder, "out"), effects);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function read(out: string, effects: readonly string[]): Joined {
  const files = new Map<string, string>();
  for (const file of (readdirSync(out, { recursive: true }) as string[]).sort()) {
    if (!file.endsWith(".js")) continue;
    files.set(file.replaceAll("\\", "/"), readFileSync(join(out, file), "utf8"));
  }
  // A module may be in another file than its name says, if several entries need it. A comment begins its part.
  const acting = new Set<string>();
  for (const [path, text] of files) {
    if (effects.some((effect) => `\n${text}`.includes(`\n// ${effect}\n`))) acting.add(path);
  }
  for (let size = -1; size !== acting.size;) {
    size = acting.size;
    for (const [path, text] of files) {
      if (importsOf(path, text).some((each) => acting.has(each))) acting.add(path);
    }
  }
  for (const [path, text] of files) {
    // esbuild keeps the order in which modules are evaluated by imports for effect, also of those that have none.
    const without = text.replaceAll(
      /^import "(\.[^"]*)";\n/gm,
      (line, specifier) => acting.has(resolved(path, specifier)) ? line : "",
    );
    files.set(path, without);
  }
  return { files, sideEffects: [...acting].sort().map((path) => `./${path}`) };
}

/** Returns the files that a file imports statically. */
function importsOf(path: string, text: string): string[] {
  const specifiers = text.matchAll(/^(?:import|export)\b(?:[\w\s{},*$]*\bfrom)? *"(\.[^"]+)";/gm);
  return [...specifiers].map(([, specifier]) => resolved(path, specifier!));
}

function resolved(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier);
}
