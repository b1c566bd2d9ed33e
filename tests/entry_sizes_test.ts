// What the package's entries add to a web page or to a program, and how many files Node loads, from the package as npm
// installs it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { ENTRIES } from "./support/entries.ts";
import { noNpm, npmPackages } from "./support/npm.ts";
import { installedPackage } from "./support/package.ts";
import { findRuntime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";

/**
 * The most bytes of a minified bundle, and of it gzipped: of the entry ./memory, and of each entry with all that it
 * exports, without packages and Node's modules. They are a little more than the current sizes, so that growth is noticed.
 * The program that puts and gets must not exceed 96 KB, and 33 KB gzipped.
 */
const LIMITS: Readonly<Record<string, readonly [minified: number, gzipped: number]>> = {
  "./redis": [250_600, 85_750],
  "./memory, Channel alone": [97_350, 33_350],
  "./memory": [121_700, 41_150],
  "./sqlite": [190_500, 64_750],
  "./amqp": [221_100, 76_400],
  "./web, Channel alone": [146_800, 50_150],
  "./web": [172_600, 58_150],
  ".": [433_700, 146_150],
  "./opentelemetry": [134_600, 45_550],
  "./home": [478_700, 161_250],
  "./cli": [571_300, 194_250],
};

/** Bundles a program that imports the installed package. Returns the script. */
async function bundled(program: string, ...options: string[]): Promise<string> {
  const { folder } = await installedPackage();
  const esbuild = join(await npmPackages("esbuild"), "node_modules/esbuild/bin/esbuild");
  const { command: [node] } = await findRuntime("node");
  const args = [esbuild, "--bundle", "--minify", "--format=esm", "--log-level=warning", ...options];
  const running = promisify(execFile)(node, args, { cwd: folder });
  running.child.stdin!.end(program);
  const { stdout, stderr } = await running;
  assert.equal(stderr, "");
  return stdout;
}

const packages = [
  "commander",
  "@opentelemetry/api",
  "yaml",
  "@cloudamqp/amqp-client",
  "ws",
  "libsodium-wrappers",
].map((
  name,
) => `--external:${name}`);

/** A program that puts and gets. */
const alone: Readonly<Record<string, string>> = {
  "./memory, Channel alone": `
    import { Channel } from "@channelts/channel/memory";
    const ch = new Channel();
    await ch.put("foo");
    await ch.get();
  `,
  "./web, Channel alone": `
    import { Channel } from "@channelts/channel/web";
    const ch = new Channel({ name: "public.news", connection: "wss://example.org/channels" });
    await ch.put("foo");
    await ch.get();
  `,
};

for (const [title, [mostMinified, mostGzipped]] of Object.entries(LIMITS)) {
  test(`sizes: ${title} is under its limits`, { skip: noNpm }, async () => {
    const specifier = `@channelts/channel${title.slice(1)}`;
    const script = ENTRIES.has(title)
      ? await bundled(`export * from "${specifier}"`, "--platform=node", ...packages)
      : await bundled(alone[title]!, "--platform=browser");
    const [minified, gzipped] = [Buffer.byteLength(script), gzipSync(script, { level: 9 }).length];
    process.stdout.write(`${title}: ${minified} bytes minified, ${gzipped} gzipped\n`);
    assert.ok(minified <= mostMinified, `${minified} bytes minified, at most ${mostMinified}`);
    assert.ok(gzipped <= mostGzipped, `${gzipped} bytes gzipped, at most ${mostGzipped}`);
  });
}

for (const entry of [".", "./home", "./sqlite"]) {
  test(`sizes: a bundler that drops what has no effect keeps the schemes of ${entry}`, {
    skip: noNpm,
  }, async () => {
    const program = `import { Channel } from "@channelts/channel${entry.slice(1)}";
      console.log(String(new Channel({ name: "jobs", connection: "sqlite:jobs.db" })));`;
    const script = await bundled(program, "--platform=node", ...packages);
    const { command: [node] } = await findRuntime("node");
    const { folder: cwd } = await installedPackage();
    const running = promisify(execFile)(node, ["--input-type=module"], { cwd });
    running.child.stdin!.end(script);
    assert.match((await running).stdout, /^Channel\(jobs on sqlite:/);
  });
}

test("sizes: every entry has limits", {}, () => {
  assert.deepEqual([...ENTRIES.keys()].filter((entry) => !(entry in LIMITS)), []);
});

for (const entry of ["./memory", "./web"]) {
  test(`sizes: ${entry} is bundled for any platform, and names no broker's code`, {
    skip: noNpm,
  }, async () => {
    for (const platform of ["browser", "neutral"]) {
      const script = await bundled(
        `export * from "@channelts/channel${entry.slice(1)}"`,
        `--platform=${platform}`,
      );
      assert.doesNotMatch(script, /\bimport\b *[("{*]|\brequire\(|basic\.|SELECT /, platform);
      if (entry === "./memory") assert.doesNotMatch(script, /WELCOME/, platform);
    }
  });
}

test("sizes: Node loads few files for ., and none of a scheme that is not used", {
  skip: noNpm,
}, async () => {
  const { folder, manifest } = await installedPackage();
  const root = join(folder, "node_modules", manifest.name);
  const program = new URL("programs/loaded_modules.ts", import.meta.url);
  const runtime = await findRuntime("node");
  await using child = startChild(program, { runtime, args: [join(root, "mod.js"), "memory:"] });
  const imported = await within(child.next() as Promise<string[]>, 60_000);
  // A file holds what the same entries need, so that each entry of the package adds a few.
  assert.ok(imported.length <= 13, `${imported.length} files`);
  const texts = imported.map((url) => readFileSync(join(folder, url), "utf8"));
  assert.ok(texts.some((text) => /^(?:class|var) MemoryTransport\b/m.test(text)));
  const strange =
    /^(?:class|var) (?:AmqpTransport|SqliteTransport|HomeTransport|ConfigFile)\b|^(?:import\b[^"]*|\} from )"(?!\.)/m;
  assert.deepEqual(texts.filter((text) => strange.test(text)), []);
  assert.deepEqual(await within(child.next(), 60_000), []);
});
