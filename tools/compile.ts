import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { promisify } from "node:util";
import { linkPackages, npmPackages } from "../tests/support/npm.ts";
import { findRuntime } from "../tests/support/runtimes.ts";
import { type DenoConfig, specifiersOf } from "./manifest.ts";

/** The compiled package: paths such as `src/channel/channel.js`, and texts. */
export interface Compiled {
  readonly scripts: Map<string, string>;
  /** The declarations that the entries reach. */
  readonly declarations: Map<string, string>;
}

/** What a script may use: nothing newer than Node 20 has. */
const TARGET = { target: "ES2022", lib: ["ES2024", "DOM", "DOM.Iterable", "ESNext.Disposable"] };

/**
 * Compiles the sources with the newest TypeScript of `tests/packages/typescript`, in a folder of its own, so that no
 * output depends on where the project is.
 *
 * @throws what tsc printed
 */
export async function compile(root: string, config: DenoConfig): Promise<Compiled> {
  const typescript = await npmPackages("typescript");
  const folder = mkdtempSync(join(tmpdir(), "channelts-pack-"));
  try {
    const entries = Object.values(config.exports);
    for (const path of [...entries, "src"]) {
      cpSync(join(root, path), join(folder, path), { recursive: true });
    }
    linkPackages(typescript, folder, ["@types/node", "undici-types"]);
    for (const [name, target] of Object.entries(config.imports)) {
      if (!target.startsWith("npm:")) continue;
      const link = join(folder, "node_modules", name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(root, "node_modules", name), link, "junction");
    }
    writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
    const compilerOptions = {
      ...config.compilerOptions,
      ...TARGET,
      module: "nodenext",
      rewriteRelativeImportExtensions: true,
      declaration: true,
      skipLibCheck: true,
      types: ["node"],
      rootDir: ".",
      outDir: "out",
    };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: entries }),
    );
    await tsc(join(typescript, "node_modules/typescript-newest"), folder);
    return read(join(folder, "out"), entries);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs a TypeScript compiler in a folder with a `tsconfig.json`.
 *
 * @param compiler the folder of its package
 * @throws what it printed
 */
export async function tsc(compiler: string, folder: string, args: string[] = []): Promise<void> {
  const node = await findRuntime("node");
  try {
    const program = join(compiler, "bin/tsc");
    await promisify(execFile)(node.command[0], [program, ...args], { cwd: folder });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    const lines = `${stdout ?? ""}${stderr ?? ""}`.trim().split("\n").slice(0, 40).join("\n");
    throw new Error(`tsc failed in ${folder}: ${lines || error}`);
  }
}

function read(out: string, entries: string[]): Compiled {
  const scripts = new Map<string, string>();
  const all = new Map<string, string>();
  for (const file of (readdirSync(out, { recursive: true }) as string[]).sort()) {
    const path = file.replaceAll("\\", "/");
    const text = () => readFileSync(join(out, file), "utf8");
    if (path.endsWith(".js")) scripts.set(path, withoutDocs(text()));
    else if (path.endsWith(".d.ts")) all.set(path, declaration(text()));
  }
  const declarations = new Map<string, string>();
  const visit = (path: string) => {
    const text = all.get(path);
    if (text === undefined || declarations.has(path)) return;
    declarations.set(path, text);
    for (const specifier of specifiersOf(withoutDocs(text))) {
      visit(posix.join(posix.dirname(path), specifier.replace(/\.js$/, ".d.ts")));
    }
  };
  for (const entry of entries) visit(posix.normalize(entry).replace(/\.ts$/, ".d.ts"));
  return { scripts, declarations };
}

/** Removes doc comments, so that the code in their examples is not taken for code of the module. */
function withoutDocs(script: string): string {
  return script.replaceAll(/^[ \t]*\/\*\*.*?\*\/[ \t]*\n/gms, "");
}

/**
 * Completes a declaration file: tsc leaves `.ts` in its imports, and the types of disposal are not in the default
 * library of TypeScript.
 */
function declaration(text: string): string {
  const imports = text.replaceAll(/(\bfrom |\bimport\()"(\.[^"]+)\.ts"/g, '$1"$2.js"');
  const needsDisposal = /\b(Async)?Disposable\b|\bSymbol\.(asyncD|d)ispose\b/.test(imports);
  return needsDisposal ? `/// <reference lib="esnext.disposable" />\n${imports}` : imports;
}
