import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { promisify } from "node:util";
import { npmPackages } from "../tests/support/npm.ts";
import { findRuntime } from "../tests/support/runtimes.ts";
import { importsOf, loadedBefore, resolved } from "./loaded_before.ts";

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
    // esbuild makes a file of the modules that the same entries and the same later modules need. So a later module imports
    // all that is loaded before it, and what each entry has is one file, whatever the later ones need of it.
    const before = loadedBefore(scripts, entries);
    const acting = new Set(effects); // they stay apart
    addImporters(acting, scripts);
    for (const [path, text] of scripts) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      const loaded = [...before.get(path) ?? []].filter((each) => !acting.has(each));
      const imports = loaded.map((each) => {
        const specifier = posix.relative(posix.dirname(path), each);
        return `import "${specifier.startsWith(".") ? specifier : `./${specifier}`}";\n`;
      });
      writeFileSync(join(folder, path), text + imports.join(""));
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
  addImporters(acting, files);
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

/** Adds to a set of files those that import one of them. */
function addImporters(files: Set<string>, all: ReadonlyMap<string, string>): void {
  for (let size = -1; size !== files.size;) {
    size = files.size;
    for (const [path, text] of all) {
      if (importsOf(path, text).some((each) => files.has(each))) files.add(path);
    }
  }
}
