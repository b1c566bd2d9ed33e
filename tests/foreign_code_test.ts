/** The programs on the pages for users that use another library and cannot run here: their types are checked. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { linkPackages, noNpm, npmPackages } from "./support/npm.ts";
import { snippetsOf } from "./support/pages/pages.ts";
import { test } from "./support/test.ts";

const page = "docs/from-bullmq.md";

test(`${page}: BullMQ's programs compile`, { skip: noNpm }, async () => {
  const snippets = snippetsOf(page).filter(({ use }) => use === "tested");
  assert.equal(snippets.length, 3);
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-foreign-"));
  try {
    linkPackages(await npmPackages("bullmq"), folder, ["bullmq"]);
    writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
    const files = snippets.map(({ line, text }) => {
      const file = join(folder, `line_${line}.ts`);
      writeFileSync(file, text);
      return file;
    });
    const args = ["check", "--quiet", "--node-modules-dir=manual", ...files];
    await promisify(execFile)(Deno.execPath(), args, {
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1" },
      timeout: 60_000,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
