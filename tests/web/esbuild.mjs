// Runs esbuild with options, and prints the files it makes as JSON: esbuild.mjs OPTIONS [PLUGIN]
//
//  conformance  in the conformance suite, the memory entry stands for mod.ts, and the modules of shims/ for Node's
//  web          the same, with the web entry
//  node         Node's modules are left to the runtime
import { createRequire, isBuiltin } from "node:module";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const web = dirname(fileURLToPath(import.meta.url));
const tests = dirname(web);
const shim = (name) => ({ path: join(web, "shims", name) });
const shims = { "node:assert/strict": "assert.ts", "node:process": "process.ts" };

/** Has an entry stand for mod.ts in the conformance suite, and the modules of shims/ for Node's. */
function conformance(entry) {
  return (build) => {
    build.onResolve({ filter: /^node:/ }, ({ path }) => shim(shims[path] ?? "absent.ts"));
    build.onResolve({ filter: /\/support\/child\.ts$/ }, () => shim("absent.ts"));
    build.onResolve(
      { filter: /^(\.\.\/)+mod\.ts$/ },
      ({ importer }) =>
        importer.startsWith(tests) ? { path: join(dirname(tests), entry) } : undefined,
    );
  };
}

const plugins = {
  conformance: conformance("memory.ts"),
  web: conformance("web.ts"),
  node(build) {
    build.onResolve(
      { filter: /./ },
      ({ path }) =>
        isBuiltin(path)
          ? { path: path.startsWith("node:") ? path : `node:${path}`, external: true }
          : undefined,
    );
  },
};

const [options, name] = process.argv.slice(2);
const { build } = createRequire(join(process.cwd(), "package.json"))("esbuild");
const { outputFiles, warnings } = await build({
  bundle: true,
  format: "esm",
  write: false,
  outdir: ".",
  logLevel: "silent",
  ...JSON.parse(options),
  plugins: name === undefined ? [] : [{ name, setup: plugins[name] }],
});
if (warnings.length > 0) throw new Error(JSON.stringify(warnings));
const files = outputFiles.map(({ path, text }) => [basename(path), text]);
process.stdout.write(JSON.stringify(files));
