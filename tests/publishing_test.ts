/** What is published: what deno.json says of it, the API pages, and the task that makes a release. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { release } from "../tools/release.ts";
import { isPublished } from "./support/pages/links.ts";
import { test } from "./support/test.ts";
import { ROOT } from "./support/test_files.ts";

const config = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
const entries: string[] = Object.values(config.exports);

/** Runs a body in a temporary folder. */
async function inFolder(body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-publishing-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

Deno.test("publishing: deno.json says what JSR reads", () => {
  assert.match(config.name, /^@[a-z0-9-]+\/[a-z0-9-]+$/);
  assert.match(config.version, /^\d+\.\d+\.\d+(-[\w.]+)?$/);
  assert.equal(config.license, "MIT");
  const pages = ["deno.json", "LICENSE", "README.md", "CHANGELOG.md"];
  for (const file of [...pages, ...entries.map((entry) => entry.slice(2))]) {
    assert.ok(isPublished(file), file);
  }
  for (const file of ["tests/README.md", "tools/pack.ts", "bench/run.ts", "deno.lock"]) {
    assert.ok(!isPublished(file), file);
  }
});

Deno.test("publishing: the scripts of the root are the entries, and each has a module doc", () => {
  // `deno task check` and the API pages take *.ts.
  assert.deepEqual(
    globSync("*.ts", { cwd: ROOT }).sort(),
    entries.map((each) => each.slice(2)).sort(),
  );
  for (const entry of entries) {
    const [doc] = /^\/\*\*.*?\*\//s.exec(readFileSync(join(ROOT, entry), "utf8")) ?? [""];
    assert.match(doc, /@module/, entry);
    assert.match(doc, /@example/, entry);
  }
});

Deno.test("publishing: the API pages are generated without a warning", () =>
  inFolder((folder) => {
    const args = ["doc", "--html", `--name=${config.name}`, `--output=${folder}`, ...entries];
    const { status, stdout, stderr } = spawnSync(Deno.execPath(), args, {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    });
    assert.equal(status, 0, stderr);
    assert.match(stdout + stderr, /^(Check .*\n|Download .*\n)*Written \d+ files to .*\n$/);
    assert.ok(readdirSync(folder, { recursive: true }).length > 100);
  }));

const noGit = spawnSync("git", ["rev-parse", "HEAD"], { cwd: ROOT }).status !== 0 &&
  "the project is not a clone";

/** Runs a body on a clone of the project. */
function onClone(body: (root: string, git: (...args: string[]) => string) => void): Promise<void> {
  return inFolder((folder) => {
    const git = (...args: string[]) =>
      execFileSync("git", args, { cwd: folder, encoding: "utf8", stdio: "pipe" }).trim();
    git("clone", "--quiet", "--no-tags", "--depth=1", `file://${ROOT}`, ".");
    git("config", "user.name", "Test");
    git("config", "user.email", "test@example.com");
    git("config", "commit.gpgsign", "false");
    git("config", "tag.gpgsign", "false");
    body(folder, git);
  });
}

test(
  "publishing: a release sets the version, moves the changelog, and is tagged",
  { skip: noGit },
  () =>
    onClone((root, git) => {
      const read = (file: string) => readFileSync(join(root, file), "utf8");
      const [before, configBefore] = [read("CHANGELOG.md"), JSON.parse(read("deno.json"))];
      const start = git("rev-parse", "HEAD");
      release(root, "99.0.0", "2030-01-31");

      assert.equal(git("status", "--porcelain"), "");
      assert.equal(git("rev-parse", "HEAD~1"), start);
      assert.equal(git("log", "-1", "--format=%s"), "Release 99.0.0");
      assert.equal(git("rev-parse", "v99.0.0^{commit}"), git("rev-parse", "HEAD"));
      assert.equal(git("cat-file", "-t", "v99.0.0"), "tag");
      assert.deepEqual(git("show", "--name-only", "--format=").split("\n"), [
        "CHANGELOG.md",
        "deno.json",
        "src/shared/version.ts",
      ]);
      assert.match(read("src/shared/version.ts"), /version = "99\.0\.0";/);
      assert.deepEqual(JSON.parse(read("deno.json")), { ...configBefore, version: "99.0.0" });
      assert.equal(
        read("CHANGELOG.md"),
        before.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [99.0.0] - 2030-01-31\n"),
      );

      assert.throws(() => release(root, "99.0.1", "2030-02-01"), /"Unreleased" has no entry/);
      assert.equal(git("rev-parse", "HEAD"), git("rev-parse", "v99.0.0^{commit}"));
    }),
);

test(
  "publishing: a release that is not ready changes nothing",
  { skip: noGit },
  () =>
    onClone((root, git) => {
      const start = git("rev-parse", "HEAD");
      const refused = (version: string, reason: RegExp) =>
        assert.throws(() => release(root, version, "2030-01-31"), reason, version);
      for (const version of ["1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3 "]) {
        refused(version, /is not a version: X\.Y\.Z/);
      }
      refused("0.0.1", /0\.0\.1 is older than the current version/);
      refused(`${config.version}-rc.1`, /-rc\.1 is older than the current version/);
      git("tag", "v98.0.0");
      refused("98.0.0", /the tag v98\.0\.0 exists/);
      writeFileSync(join(root, "new.txt"), "");
      refused("99.0.0", /the work tree has changes; commit them first:\n\?\? new\.txt/);
      rmSync(join(root, "new.txt"));

      assert.equal(git("rev-parse", "HEAD"), start);
      assert.equal(git("status", "--porcelain"), "");
      assert.equal(git("tag", "--list"), "v98.0.0");
    }),
);
