import { equal, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseConfigFile } from "../src/connection/config_file.ts";

const readme = read("README.md");

function read(page: string): string {
  return readFileSync(new URL(`../${page}`, import.meta.url), "utf8");
}

/** Returns the code blocks of one language, with the line in which each begins. */
function blocks(language: string, page = readme): { line: number; text: string }[] {
  return [...page.matchAll(new RegExp("^```" + language + "\\n(.*?)^```$", "gms"))].map((
    match,
  ) => ({
    line: page.slice(0, match.index).split("\n").length + 1,
    text: match[1]!,
  }));
}

/** Converts `expression; // literal` into an assertion. */
function checked(text: string): string {
  const modTs = new URL("../mod.ts", import.meta.url).href;
  const assertions = text.replaceAll(
    /^( *)(await .*|[\w.]+); \/\/ ("[^"]*"|\d+)$/gm,
    "$1(await import('node:assert/strict')).deepEqual($2, $3);",
  );
  return assertions.replaceAll(`"@channelts/channel"`, JSON.stringify(modTs));
}

const programs = ["README.md", "docs/testing.md"].flatMap((page) =>
  blocks("ts", read(page)).map((block) => ({ page, ...block }))
);

for (const { page, line, text } of programs) {
  Deno.test(`${page}: the program of line ${line} does what its comments say`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "channelts-readme-"));
    try {
      const program = join(folder, "block.ts");
      writeFileSync(program, checked(text));
      await import(pathToFileURL(program).href);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

Deno.test("the README's comments are checked", () => {
  const count = blocks("ts").map(({ text }) => checked(text).split("deepEqual(").length - 1);
  ok(count.reduce((a, b) => a + b) >= 4, `${count}`);
});

for (const { line, text } of blocks("yaml")) {
  Deno.test(`the README's configuration of line ${line} is valid`, async () => {
    const { uri } = await parseConfigFile("README.md", text);
    equal(uri, "amqp://192.168.35.10:5672");
  });
}

Deno.test("the README's commands name existing tasks", () => {
  const { tasks } = JSON.parse(readFileSync(new URL("../deno.json", import.meta.url), "utf8"));
  const named = [...readme.matchAll(/deno(?:@2)? task (\w+)/g)].map((match) => match[1]!);
  ok(named.length > 0);
  for (const name of named) ok(name in tasks, name);
});
