import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { npmPackages } from "../tests/support/npm.ts";
import { findRuntime } from "../tests/support/runtimes.ts";

/**
 * Joins the modules of the package into few files: each entry, what several entries need, and what an entry loads later.
 * Node takes longer to find and to link a hundred files than to run them.
 *
 * @param scripts the modules: paths such as `src/channel/channel.js`, and texts
 * @param entries the paths of the entries, which keep their names
 * @returns the files, readable and without comments; `chunks/` has those that are no entries
 * @throws what esbuild printed
 */
export async function joined(
  scripts: ReadonlyMap<string, string>,
  entries: readonly string[],
): Promise<Map<string, string>> {
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
    return read(join(folder, "out"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function read(out: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const file of (readdirSync(out, { recursive: true }) as string[]).sort()) {
    if (!file.endsWith(".js")) continue;
    // esbuild keeps the order in which modules are evaluated by imports for effect. No module but an entry has one.
    const text = readFileSync(join(out, file), "utf8").replaceAll(/^import "\.[^"]*";\n/gm, "");
    files.set(file.replaceAll("\\", "/"), text);
  }
  return files;
}
