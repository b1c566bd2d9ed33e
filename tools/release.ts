// The program of `deno task release`: release.ts X.Y.Z makes the commit and the tag of a version. It pushes and
// publishes nothing.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const HEADING = "## [Unreleased]\n";

/** The file by which the library knows its version. */
const CONSTANT = "src/shared/version.ts";

/**
 * Makes a release of the project in `root`: sets the version in `deno.json` and `src/shared/version.ts`, moves the section "Unreleased" of
 * `CHANGELOG.md` below a heading with version and date, commits both and adds the tag `vX.Y.Z`.
 *
 * @param date the day of the release: `2026-12-31`
 * @throws with the reason if the version, the work tree or the changelog is not ready; then nothing has changed
 */
export function release(root: string, version: string, date: string): void {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: "pipe" }).trim();
  const config = read("deno.json");
  const current: string = JSON.parse(config).version;
  if (compare(version, current) < 0) {
    throw new Error(`${version} is older than the current version, ${current}`);
  }
  const changes = git("status", "--porcelain");
  if (changes !== "") throw new Error(`the work tree has changes; commit them first:\n${changes}`);
  const tag = `v${version}`;
  if (git("tag", "--list", tag) !== "") {
    throw new Error(`the tag ${tag} exists; choose a new version`);
  }
  const changelog = moved(read("CHANGELOG.md"), version, date);

  const [start] = config.split(`"version": "${current}"`);
  const end = config.slice(start!.length + `"version": "${current}"`.length);
  writeFileSync(join(root, "deno.json"), `${start}"version": "${version}"${end}`);
  writeFileSync(join(root, "CHANGELOG.md"), changelog);
  const constant = read(CONSTANT).replace(`"${current}"`, `"${version}"`);
  writeFileSync(join(root, CONSTANT), constant);
  const files = ["deno.json", "CHANGELOG.md", CONSTANT];
  git("commit", "--quiet", "--message", `Release ${version}`, "--", ...files);
  git("tag", "--annotate", "--message", `Version ${version}`, tag);

  function read(path: string): string {
    return readFileSync(join(root, path), "utf8");
  }
}

/** Returns the changelog with an empty section "Unreleased" above that of the version. */
function moved(changelog: string, version: string, date: string): string {
  const [before, after] = changelog.split(HEADING);
  if (after === undefined) throw new Error(`CHANGELOG.md has no line "${HEADING.trim()}"`);
  const [section] = after.split(/^## /m);
  if (!/^- /m.test(section!)) throw new Error(`CHANGELOG.md: "Unreleased" has no entry; add one`);
  return `${before}${HEADING}\n## [${version}] - ${date}\n${after}`;
}

/** Compares two versions without build metadata; one with a suffix, such as `1.0.0-rc.1`, is before the one without. */
function compare(one: string, other: string): number {
  const [a, b] = [parse(one), parse(other)];
  for (const i of [0, 1, 2] as const) {
    if (a.numbers[i] !== b.numbers[i]) return a.numbers[i] - b.numbers[i];
  }
  if (a.suffix === "" || b.suffix === "") return b.suffix.length - a.suffix.length;
  return a.suffix.localeCompare(b.suffix, "en", { numeric: true });
}

function parse(version: string): { numbers: [number, number, number]; suffix: string } {
  const match = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([\w.-]+))?$/.exec(version);
  if (match === null) throw new Error(`${version} is not a version: X.Y.Z`);
  const [, major, minor, patch, suffix = ""] = match;
  return { numbers: [Number(major), Number(minor), Number(patch)], suffix };
}

if (import.meta.main) {
  const [version, ...more] = process.argv.slice(2);
  try {
    if (version === undefined || more.length > 0) throw new Error("usage: deno task release X.Y.Z");
    const root = fileURLToPath(new URL("../", import.meta.url));
    release(root, version, new Date().toISOString().slice(0, 10));
    process.stdout.write(`v${version} is committed and tagged here. To publish it:

  git push --atomic origin HEAD v${version}
  deno publish
  deno task pack --out dist
  npm publish dist/channelts-channel-${version}.tgz --access public

To undo it before the push: git tag --delete v${version} && git reset --hard HEAD~1
`);
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
