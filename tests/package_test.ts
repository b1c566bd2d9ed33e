/** The npm package, as a user installs it: on each runtime, with each TypeScript, and as the linters of npm see it. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { tsc } from "../tools/compile.ts";
import { loadedBefore } from "../tools/loaded_before.ts";
import { manifest as manifestOf } from "../tools/manifest.ts";
import { brokerState } from "./support/broker_state.ts";
import { linkPackages, noNpm, npmPackages } from "./support/npm.ts";
import { linksOf } from "./support/pages/links.ts";
import { installedPackage, startPackageRegistry } from "./support/package.ts";
import { startRedis } from "./support/redis.ts";
import { stateOf, withAdmin } from "./support/redis_setup.ts";
import { registryEnv } from "./support/registry.ts";
import { snippetsOf } from "./support/pages/pages.ts";
import { findNode, findRuntime, type Runtime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";
import { ROOT, TESTS } from "./support/test_files.ts";
import { quickstartOutput } from "./support/quickstart.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** The most bytes of the tarball. */
const MOST_BYTES = 352_000;

/** Runs a body in a new project that has the package installed. */
async function inProject(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-project-"));
  try {
    linkPackages((await installedPackage()).folder, folder);
    writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the specifiers of the package's entries. */
async function entries(): Promise<string[]> {
  const { name, exports } = (await installedPackage()).manifest;
  return Object.keys(exports).map((entry) => name + entry.slice(1));
}

/** Runs a program; an error has what it printed. */
async function output(
  [program, ...args]: readonly [string, ...string[]],
  cwd: string,
  env: Record<string, string | undefined> = process.env,
): Promise<string> {
  try {
    const options = {
      cwd,
      env: { ...env, NO_COLOR: "1" },
      encoding: "utf8",
      timeout: 90_000,
    } as const;
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { stdout: string; stderr: string };
    throw new Error(`${message}\n${stdout}\n${stderr}`);
  }
}

test(
  "package: it is under 352 KB and has each entry, its declarations and pages",
  { skip: noNpm },
  async () => {
    const { tarball, folder, manifest } = await installedPackage();
    const { size } = statSync(tarball);
    process.stdout.write(`the tarball has ${size} bytes\n`);
    assert.ok(size < MOST_BYTES, `${size} bytes`);
    const files = readdirSync(join(folder, "node_modules", manifest.name), {
      recursive: true,
    }) as string[];
    const targets = Object.values(manifest.exports).flatMap((target) => Object.values(target));
    for (const file of ["LICENSE", "README.md", "CHANGELOG.md", ...targets]) {
      assert.ok(files.includes(file.replace("./", "")), file);
    }
    assert.deepEqual(files.filter((file) => /\.map$|(?<!\.d)\.ts$/.test(file)), []);
  },
);

test("package: package.json says what deno.json says, and no place", { skip: noNpm }, async () => {
  const { manifest } = await installedPackage();
  const config = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  assert.equal(manifest.name, config.name);
  assert.equal(manifest.version, config.version);
  assert.equal(manifest.license, config.license);
  assert.deepEqual(Object.keys(manifest.exports), Object.keys(config.exports));
  const { dependencies, optionalDependencies, peerDependencies } = manifest;
  const packages = { ...dependencies, ...optionalDependencies, ...peerDependencies };
  for (const [name, version] of Object.entries(packages)) {
    assert.equal(`npm:${name}@${version}`, config.imports[name]);
  }
  assert.deepEqual(Object.keys(dependencies), ["@cloudamqp/amqp-client", "commander", "yaml"]);
  assert.deepEqual(Object.keys(optionalDependencies), ["libsodium-wrappers", "ws"]);
  assert.deepEqual(Object.keys(peerDependencies), ["@opentelemetry/api"]);
  assert.deepEqual(manifest.peerDependenciesMeta, { "@opentelemetry/api": { optional: true } });
  for (const key of ["repository", "homepage", "bugs", "scripts", "devDependencies"]) {
    assert.ok(!(key in manifest), key);
  }
});

test(
  "package: the README has no link to a file that is not in the package",
  { skip: noNpm },
  async () => {
    const { folder, manifest } = await installedPackage();
    const root = join(folder, "node_modules", manifest.name);
    const links = linksOf(readFileSync(join(root, "README.md"), "utf8"));
    const paths = links.map(({ target }) => target.split("#")[0]!).filter((path) =>
      !/^\w+:|^$/.test(path)
    );
    assert.deepEqual(paths.filter((path) => !existsSync(join(root, path))), []);
  },
);

test("package: no file names a path of the machine that made it", { skip: noNpm }, async () => {
  const { folder, manifest } = await installedPackage();
  const root = join(folder, "node_modules", manifest.name);
  const places = [ROOT, tmpdir(), homedir()].map((place) => place.replace(/\/$/, "") + "/");
  for (const path of readdirSync(root, { recursive: true }) as string[]) {
    if (!statSync(join(root, path)).isFile()) continue;
    const text = readFileSync(join(root, path), "utf8");
    assert.deepEqual(places.filter((place) => text.includes(place)), [], path);
    assert.doesNotMatch(text, /sourceMappingURL|channelts-pack-/, path);
  }
});

Deno.test("package: sideEffects names the files that do something when they are loaded", () => {
  const config = {
    ...{ name: "@a/b", version: "1.0.0", license: "MIT", compilerOptions: {} },
    exports: { ".": "./mod.ts", "./one": "./one.ts", "./two": "./two.ts" },
    imports: { yaml: "npm:yaml@^2.8.0", unused: "npm:unused@1.0.0", ws: "npm:ws@^8.0.0" },
  };
  const scripts = new Map([
    ["mod.js", `// a comment\nexport { a } from "./src/a.js";\nexport * from "./src/b.js";\n`],
    ["one.js", `import { a } from "./src/a.js";\na();\nexport { a } from "./src/a.js";\n`],
    ["two.js", `import "./src/a.js";\nexport { a } from "./src/a.js";\n`],
    ["src/a.js", `export const a = () => import("./b.js");\nexport const yaml = import("yaml");\n`],
    ["src/b.js", `import process from "node:process";\nexport const ws = import("ws");\n`],
  ]);
  const { sideEffects, dependencies, optionalDependencies, exports } = manifestOf(config, scripts);
  assert.deepEqual(sideEffects, ["./one.js", "./src/a.js"]);
  assert.deepEqual(dependencies, { yaml: "^2.8.0" });
  assert.deepEqual(optionalDependencies, { ws: "^8.0.0" });
  assert.deepEqual(exports["./two"], { types: "./two.d.ts", default: "./two.js" });
  scripts.delete("one.js");
  scripts.set("two.js", `export { a } from "./src/a.js";\n`);
  assert.equal(manifestOf(config, scripts).sideEffects, false);
});

Deno.test("package: what is loaded before a later module, however it is reached", () => {
  const scripts = new Map([
    ["mod.js", `export * from "./core.js";\nexport { s } from "./scheme.js";\n`],
    ["one.js", `export * from "./core.js";\nimport "./later.js";\n`],
    ["program.js", `const mod = () => import("./mod.js");\nimport "./help.js";\n`],
    [
      "core.js",
      `import { help } from "./help.js";\nexport const log = () => import("./log.js");\n`,
    ],
    ["scheme.js", `export const s = () => import("./later.js");\n`],
    ["later.js", `import "./part.js";\nexport const more = () => import("./most.js");\n`],
    ...["help.js", "log.js", "part.js", "most.js"].map((path) => [path, ""] as const),
  ]);
  const before = loadedBefore(scripts, ["mod.js", "one.js", "program.js"]);
  const lists = Object.fromEntries([...before].map(([path, list]) => [path, [...list].sort()]));
  assert.deepEqual(lists, {
    "log.js": ["core.js", "help.js"],
    "later.js": ["core.js", "help.js"], // mod.js loads it later, and one.js at once
    "most.js": ["core.js", "help.js", "later.js", "part.js"],
  });
});

test("package: publint and attw find nothing", { skip: noNpm }, async () => {
  const { tarball } = await installedPackage();
  const linters = await npmPackages("publint");
  const [node] = (await findRuntime("node")).command;
  const program = (path: string) => join(linters, "node_modules", path);
  await Promise.all([
    output([node, program("publint/src/cli.js"), "run", tarball, "--strict"], linters),
    output(
      [node, program("@arethetypeswrong/cli/dist/index.js"), tarball, "--profile", "esm-only"],
      linters,
    ),
  ]);
});

/** Settings under which a user may check the types, without `skipLibCheck`. */
const SETTINGS: Record<string, object> = {
  "bundler, without Node's types": { module: "preserve", moduleResolution: "bundler", types: [] },
  "nodenext, without Node's types": { module: "nodenext", types: [] },
  "bundler, without the DOM's types": {
    module: "preserve",
    moduleResolution: "bundler",
    lib: ["ES2022"],
    types: ["node"],
  },
  "nodenext, without the DOM's types": { module: "nodenext", lib: ["ES2022"], types: ["node"] },
};

for (const compiler of ["typescript", "typescript-newest"]) {
  test(
    `package: its types are right with ${compiler}`,
    { skip: noNpm },
    () =>
      inProject(async (folder) => {
        const typescript = await npmPackages("typescript");
        linkPackages(typescript, folder, ["@types/node", "undici-types"]);
        const path = join(typescript, "node_modules", compiler);
        const { version } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
        process.stdout.write(`TypeScript ${version}\n`);
        const consumer = readFileSync(join(TESTS, "programs/package/consumer.ts"), "utf8");
        const libraries = (await entries()).filter((entry) => !entry.endsWith("/cli"));
        const files = await Promise.all(libraries.map((entry, i) => {
          const file = `consumer${i}.ts`;
          writeFileSync(join(folder, file), consumer.replace(`"@channelts/channel"`, `"${entry}"`));
          return file;
        }));
        const all = Object.entries(SETTINGS);
        // TypeScript 5.9 takes seconds for each, so it checks the first and the last.
        for (
          const [title, settings] of compiler === "typescript" ? [all.at(0)!, all.at(-1)!] : all
        ) {
          const common = {
            target: "ES2022",
            strict: true,
            noEmit: true,
            skipDefaultLibCheck: true,
          };
          const compilerOptions = { ...common, ...settings };
          writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
          await tsc(path, folder).catch((error) => assert.fail(`${title}: ${error.message}`));
        }
      }),
  );
}

/** The lines that the quickstart prints. */
const story = quickstartOutput.trim().split("\n");

/** A file for `sqlite:`, in a project's folder. */
const FILE = "sqlite:channels.db";

/** A runtime that the package claims, and the error of `sqlite:` if it has no SQLite. */
interface Claimed {
  readonly runtime: Promise<Runtime>;
  readonly noSqlite?: RegExp;
}

/** Finds the runtimes at the same time: npm takes a while for each. */
function claimed(): Claimed[] {
  return [
    { runtime: findNode("20"), noSqlite: /^ChannelConfigError: .*Node 22\.13/ },
    { runtime: findNode("22.13.0") }, // the oldest with SQLite
    { runtime: findNode("24") },
    { runtime: findRuntime("bun") },
    { runtime: findRuntime("deno") },
  ];
}

/** Adds `user.mjs` and what it imports to a project, compiled for runtimes that do not strip types. */
async function addPrograms(folder: string): Promise<void> {
  const programs = join(TESTS, "programs/package");
  for (const file of ["user.mjs", "required.cjs", "disposal.ts"]) {
    copyFileSync(join(programs, file), join(folder, file));
  }
  copyFileSync(join(ROOT, "examples/quickstart.ts"), join(folder, "quickstart.ts"));
  writeFileSync(join(folder, "example.ts"), snippetsOf("README.md")[0]!.text);
  const typescript = await npmPackages("typescript");
  linkPackages(typescript, folder, ["@types/node", "undici-types"]);
  const compilerOptions = {
    ...{ target: "ES2022", module: "nodenext", strict: true, types: ["node"] },
  };
  const config = { compilerOptions, files: ["quickstart.ts", "example.ts", "disposal.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  await tsc(join(typescript, "node_modules/typescript-newest"), folder);
}

/** Checks what `user.mjs` printed. */
function assertUsed(printed: string, specifiers: readonly string[], noSqlite?: RegExp): void {
  const lines = printed.trim().split("\n").map((line) => JSON.parse(line));
  const loaded = lines.splice(0, specifiers.length);
  assert.deepEqual(loaded.map(({ entry }) => entry), specifiers);
  for (const { entry, isSame, names } of loaded) {
    assert.ok(isSame, `${entry}: require and import differ`);
    if (entry.endsWith("/cli")) continue; // a program
    // Those of homes export more.
    const common = loaded[0].names.filter((name: string) => name !== "fromPort");
    assert.deepEqual(common.filter((name: string) => !names.includes(name)), [], entry);
  }
  const [disposal, alone, memory, sqlite, amqp, redis] = lines;
  assert.deepEqual(disposal, { isDisposed: true });
  assert.deepEqual(memory, { uri: 0, printed: story });
  if (noSqlite) assert.match(sqlite.error, noSqlite);
  else assert.deepEqual(sqlite, { uri: 1, printed: story });
  assert.deepEqual(amqp, { uri: 2, printed: story });
  assert.deepEqual(redis, { uri: 3, printed: story });
  assert.deepEqual(alone, { alone: 7 });
}

test(
  "package: the quickstart and README's example run on each runtime and leave nothing on the servers",
  { skip: noNpm },
  (t) =>
    inProject(async (folder) => {
      const runtimes = claimed();
      const found = Promise.allSettled(runtimes.map(({ runtime }) => runtime)); // a rejection is handled below
      await addPrograms(folder);
      await using server = await startRedis();
      const before = await brokerState();
      const specifiers = await entries();
      await found;
      for (const { runtime, noSqlite } of runtimes) {
        const { title, command } = await runtime;
        await t.step(title, async () => {
          const uris = ["memory:", FILE, broker, server.uri];
          const args = ["user.mjs", JSON.stringify(specifiers), ...uris];
          const flags = command.slice(1).filter((flag) => flag !== "--frozen");
          assertUsed(await output([command[0], ...flags, ...args], folder), specifiers, noSqlite);
          const env = { ...process.env, CHANNELTS_URI: "memory:" };
          assert.equal(await output([command[0], ...flags, "example.js"], folder, env), "42\n");
          rmSync(join(folder, "channels.db"), { force: true });
        });
      }
      assert.deepEqual((await brokerState())?.queues, before?.queues);
      const left = await withAdmin(server.uri, stateOf);
      assert.deepEqual([left.queues, left.exchanges, left.connections], [[], [], 0]);
    }),
);

test("package: Deno runs it from a registry, by an npm: specifier", { skip: noNpm }, async () => {
  const { manifest, tarball } = await installedPackage();
  await using registry = await startPackageRegistry(manifest, readFileSync(tarball));
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-npm-"));
  try {
    copyFileSync(join(ROOT, "examples/quickstart.ts"), join(folder, "quickstart.ts"));
    const env = { ...registryEnv(registry), DENO_DIR: join(folder, "cache") };
    const [deno] = (await findRuntime("deno")).command;
    writeFileSync(join(folder, "deno.json"), "{}");
    await output([deno, "add", "--quiet", `npm:${manifest.name}`], folder, env);
    const printed = await output([deno, "run", "--quiet", "--check", "quickstart.ts"], folder, env);
    assert.deepEqual(printed.trim().split("\n"), story);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("package: npx, bunx and deno run the program from a registry", { skip: noNpm }, async () => {
  const { manifest, tarball } = await installedPackage();
  await using registry = await startPackageRegistry(manifest, readFileSync(tarball));
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-npx-"));
  const name = `cli-${crypto.randomUUID()}`;
  try {
    writeFileSync(join(folder, "deno.json"), "{}");
    writeFileSync(join(folder, "package.json"), "{}");
    const env = {
      ...registryEnv(registry),
      npm_config_cache: join(folder, "npm"),
      BUN_INSTALL_CACHE_DIR: join(folder, "bun"),
      DENO_DIR: join(folder, "deno"),
      CHANNELTS_URI: broker,
    };
    const [bun] = (await findRuntime("bun")).command;
    const [deno] = (await findRuntime("deno")).command;
    const programs: readonly (readonly [string, ...string[]])[] = [
      ["npx", "--yes", manifest.name],
      [bun, "x", "--silent", manifest.name],
      [bun, "x", "--silent", "--bun", manifest.name],
      [deno, "run", "-A", "--quiet", `npm:${manifest.name}`],
      [deno, "run", "-A", "--quiet", `npm:${manifest.name}/cli`],
    ];
    for (const program of programs) {
      await output([...program, "put", name, '{"by": "npx"}'], folder, env);
      const printed = await output([...program, "get", name, "--timeout", "20000"], folder, env);
      assert.equal(printed, '{"by":"npx"}\n', program.join(" "));
    }
    await output([...programs.at(-1)!, "delete", name, "--yes"], folder, env);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
