// The program of `deno task pack`: pack.ts [--out DIR] makes the npm package, by default in `dist/`.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { joined } from "./chunks.ts";
import { compile } from "./compile.ts";
import {
  compiled,
  type DenoConfig,
  type Manifest,
  manifest as manifestOf,
  PROGRAM,
} from "./manifest.ts";
import { writeTarball } from "./tar.ts";

/** The npm package. */
export interface Package {
  /** Its package.json. */
  readonly manifest: Manifest;
  /** The name of the tarball, as `npm pack` would name it. */
  readonly file: string;
  readonly tarball: Uint8Array;
  /** Paths such as `mod.js`, and contents. */
  readonly files: ReadonlyMap<string, string>;
}

/** The program. It is no entry, so that importing ./cli runs nothing, on any Node. */
const PROGRAM_TEXT = `#!/usr/bin/env node
import process from "node:process";
import { main } from "./cli.js";

process.exitCode = await main(process.argv.slice(2));
setTimeout(() => process.exit(), 1000).unref(); // its connections are closed before
`;

/** Files that are published as they are. */
const PAGES = ["LICENSE", "CHANGELOG.md"];

/**
 * Makes the npm package of the project in `root`: the compiled scripts, joined into few files, their declarations, the
 * README, and a `package.json` made from `deno.json`. It has no source maps, because the scripts are readable.
 */
export async function pack(root: string): Promise<Package> {
  const text = (path: string) => readFileSync(join(root, path), "utf8");
  const config: DenoConfig = JSON.parse(text("deno.json"));
  const { scripts: modules, declarations } = await compile(root, config);
  const files = new Map<string, string>();
  const inModules = manifestOf(config, modules);
  const entries = Object.values(config.exports).map((source) => compiled(source, ".js"));
  const effects = (inModules.sideEffects || []).map((path) => posix.normalize(path));
  const { files: scripts, sideEffects } = await joined(
    modules,
    entries.map(posix.normalize),
    effects,
  );
  const manifest = { ...inModules, sideEffects };
  files.set("package.json", JSON.stringify(manifest, null, 2) + "\n");
  for (const page of PAGES) files.set(page, text(page));
  for (const [path, content] of [...scripts, ...declarations]) files.set(path, content);
  files.set(PROGRAM, PROGRAM_TEXT);
  files.set("README.md", withoutBrokenLinks(text("README.md"), files));
  const bytes = [...files].map(([path, content]) =>
    [`package/${path}`, new TextEncoder().encode(content)] as const
  );
  return {
    manifest,
    file: `${config.name.replace("@", "").replace("/", "-")}-${config.version}.tgz`,
    tarball: writeTarball(new Map(bytes)),
    files,
  };
}

/** Replaces links to files that are not in the package by their text. The pages of `docs/` would double its size. */
function withoutBrokenLinks(page: string, files: ReadonlyMap<string, string>): string {
  return page.split(/(^```.*?^```$)/gms).map((part) =>
    part.startsWith("```") ? part : part.replaceAll(
      /\[([^\]]+)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)/g,
      (link, text: string, path: string) => files.has(posix.normalize(path)) ? link : text,
    )
  ).join("");
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { out: { type: "string", default: "dist" } } });
  const root = fileURLToPath(new URL("../", import.meta.url));
  const { manifest, file, tarball, files } = await pack(root);
  const path = resolve(values.out, file);
  mkdirSync(values.out, { recursive: true });
  writeFileSync(path, tarball);
  const kilobytes = (tarball.length / 1000).toFixed(1);
  process.stdout.write(
    `${manifest.name}@${manifest.version}: ${files.size} files, ${kilobytes} KB packed: ${path}\n`,
  );
}
