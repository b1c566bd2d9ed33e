// The npm package as a user gets it: made by `tools/pack.ts` once for each run of the tests, published to a registry of
// this process, and installed from there by npm.

import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Manifest } from "../../tools/manifest.ts";
import { pack } from "../../tools/pack.ts";
import { writeTarball } from "../../tools/tar.ts";
import { locked, npm } from "./npm.ts";
import { type Published, type Registry, registryEnv, startRegistry } from "./registry.ts";
import { ROOT } from "./test_files.ts";

/** The package, installed by npm. */
export interface Installed {
  /** A folder with `node_modules`, which has the package and its dependencies. It is shared and must not be changed. */
  readonly folder: string;
  /** The path of the tarball. */
  readonly tarball: string;
  /** Its package.json. */
  readonly manifest: Manifest;
}

/** Without the runner, each process makes its own. */
const place = process.env.TEST_FOLDER ?? mkdtempSync(join(tmpdir(), "channelts-package-"));
if (process.env.TEST_FOLDER === undefined) {
  const remove = () => rmSync(place, { recursive: true, force: true });
  process.on("exit", remove);
  globalThis.addEventListener?.("unload", remove); // `deno test` has no exit event
}

let installed: Promise<Installed> | undefined;

/**
 * Makes and installs the package, unless another test of this run has done so.
 *
 * @throws what tsc or npm printed
 */
export function installedPackage(): Promise<Installed> {
  return installed ??= install();
}

async function install(): Promise<Installed> {
  const folder = join(place, "package");
  await locked(`${folder}.lock`, () => existsSync(folder), async () => {
    const { manifest, file, tarball } = await pack(ROOT);
    const fresh = mkdtempSync(`${folder}.`);
    writeFileSync(join(fresh, file), tarball);
    writeFileSync(join(fresh, "package.json"), "{}");
    await using registry = await startPackageRegistry(manifest, tarball);
    const options = [
      "--cache",
      join(fresh, ".cache"),
      "--ignore-scripts",
      "--no-audit",
      "--no-fund",
    ];
    // As for a program that uses each entry: npm does not install an optional peer by itself.
    const peers = Object.keys(manifest.peerDependencies ?? {});
    await npm(fresh, ["install", ...options, manifest.name, ...peers], registryEnv(registry));
    rmSync(join(fresh, ".cache"), { recursive: true });
    renameSync(fresh, folder);
  });
  const [file] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  const name: string = readJson(join(ROOT, "deno.json")).name;
  const manifest = readJson(join(folder, "node_modules", name, "package.json"));
  return { folder, tarball: join(folder, file!), manifest };
}

/** Starts a registry that serves the package and its dependencies. */
export async function startPackageRegistry(
  manifest: Manifest,
  tarball: Uint8Array,
): Promise<Registry> {
  const { dependencies, optionalDependencies, peerDependencies } = manifest;
  const found = new Map<string, Published>();
  for (
    const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })
  ) {
    publish(name, join(ROOT, "node_modules"), found);
  }
  return await startRegistry([{ manifest, tarball }, ...found.values()]);
}

/** Makes packages of npm of a package and of those that it needs, from the copies in a `node_modules`. */
function publish(name: string, modules: string, found: Map<string, Published>): void {
  if (found.has(name)) return;
  const folder = realpathSync(join(modules, name));
  const files = new Map<string, Uint8Array>();
  for (const path of readdirSync(folder, { recursive: true }) as string[]) {
    const file = join(folder, path);
    if (statSync(file).isFile()) {
      files.set(`package/${path.replaceAll("\\", "/")}`, readFileSync(file));
    }
  }
  const manifest = readJson(join(folder, "package.json"));
  found.set(name, { manifest, tarball: writeTarball(files) });
  // Beside the package are those that it needs.
  const beside = folder.slice(0, -name.length);
  for (const needed of Object.keys(manifest.dependencies ?? {})) publish(needed, beside, found);
}

function readJson(file: string) {
  return JSON.parse(readFileSync(file, "utf8"));
}
