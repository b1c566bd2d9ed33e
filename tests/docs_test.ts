/** The names in the documentation exist: files, classes, types and functions of the code, and the targets of links. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { allPages, anchorsOf, faultOf, linksOf } from "./support/pages/links.ts";
import { readPage } from "./support/pages/pages.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const internals = readdirSync(join(root, "docs/internals")).map((page) => `docs/internals/${page}`);

/** The folders to which the paths of a page are relative. */
function basesOf(page: string): string[] {
  if (page === "tests/README.md") return ["tests", ""];
  const transport = /^docs\/internals\/(memory|sqlite|amqp|redis|home)\.md$/.exec(page)?.[1];
  return transport === undefined ? ["src", ""] : [`src/transports/${transport}`, "src", ""];
}

/** Returns the texts between backticks on a page, without its code blocks. */
function quoted(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8").replaceAll(/^```.*?^```$/gms, "");
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, part]) => part!);
}

const isPath = (text: string) => /^[\w.-]+(?:\/[\w.-]+)*(?:\/|\.(?:ts|md|json|yml|sh))$/.test(text);
/**
 * A name that begins with a capital letter, for example `Link` or `Link.take`, or one with parentheses, for example
 * `decode()`.
 */
const isName = (text: string) => /^[A-Z]\w*[a-z]\w*(?:\.\w+)*(?:\(\))?$|^\w+\(\)$/.test(text);

/** Every word of the sources and the tests. */
const words = new Set(
  ["src", "tests"].flatMap((folder) =>
    (readdirSync(join(root, folder), { recursive: true }) as string[])
      .filter((path) => path.endsWith(".ts") && !path.endsWith("docs_test.ts"))
      .flatMap((path) => readFileSync(join(root, folder, path), "utf8").match(/\w+/g) ?? [])
  ),
);

for (const page of ["ARCHITECTURE.md", "tests/README.md", ...internals]) {
  Deno.test(`${page} names files and code that exist`, () => {
    const parts = quoted(page);
    const paths = parts.filter(isPath);
    assert.ok(paths.length > 0);
    const exists = (path: string) =>
      basesOf(page).some((base) => existsSync(join(root, base, path)));
    assert.deepEqual(paths.filter((path) => !exists(path)), []);
    const missing = parts.filter(isName)
      .filter((name) => (name.match(/\w+/g) ?? []).some((word) => !words.has(word)));
    assert.deepEqual(missing, []);
  });
}

/** The folders of `src/`, each with the page that says of each of its files what is in it. */
const described: Record<string, string> = {
  "transports/memory": "docs/internals/memory.md",
  "transports/sqlite": "docs/internals/sqlite.md",
  "transports/amqp": "docs/internals/amqp.md",
  "transports/redis": "docs/internals/redis.md",
  "transports/home": "docs/internals/home.md",
  "home": "docs/internals/home.md",
};

for (const [folder, page] of Object.entries(described)) {
  Deno.test(`${page} says of each file of src/${folder}/, or of its folder, what is in it`, () => {
    const files = (readdirSync(join(root, "src", folder), { recursive: true }) as string[])
      .filter((path) => path.endsWith(".ts"));
    assert.ok(files.length > 5);
    const named = quoted(page);
    const bases = basesOf(page).map((base) => (base === "" ? "" : `${base}/`));
    const isNamed = (path: string) =>
      bases.some((base) => named.some((name) => `${base}${name}` === path));
    const missing = files.map((path) => `src/${folder}/${path}`).filter((path) => {
      const above = path.slice(0, path.lastIndexOf("/") + 1);
      return !isNamed(path) && (above === `src/${folder}/` || !isNamed(above));
    });
    assert.deepEqual(missing, []);
  });
}

for (const page of allPages()) {
  Deno.test(`${page}: each link leads to a page and heading that exist`, () => {
    const faults = linksOf(readPage(page)).flatMap(({ line, target }) => {
      const fault = faultOf(page, target);
      return fault === undefined ? [] : [`${page}:${line}: ${target}: ${fault}`];
    });
    assert.deepEqual(faults, []);
  });
}

/** Returns the lines of a page's tables that belong to no table, or have another number of cells than its first line. */
function badRows(text: string): string[] {
  const outside = text.replaceAll(/^ *```.*?^ *```$/gms, "");
  const cells = (row: string) => row.replaceAll(/`[^`]*`/g, "").split("|").length;
  return [...outside.matchAll(/(?:^\|.*\n)+/gm)].flatMap(([table]) => {
    const [head = "", rule = "", ...rows] = table.trim().split("\n");
    if (!/^\|[ :|-]+\|$/.test(rule)) return [head];
    return [rule, ...rows].filter((row) => cells(row) !== cells(head));
  });
}

Deno.test("each row of a table is in a table, and has its columns", () => {
  for (const page of allPages()) {
    assert.deepEqual(badRows(readPage(page)), [], page);
  }
  const table = "| a | b |\n| - | - |\n| 1 | `|` |\n";
  assert.deepEqual(badRows(table), []);
  assert.deepEqual(badRows(`${table}\n| 1 | 2 |\n`), ["| 1 | 2 |"]);
  assert.deepEqual(badRows(`${table}| 1, and\nmore | 2 |\n`), ["| 1, and"]);
});

Deno.test("docs/README.md lists every page in docs/", () => {
  const listed = linksOf(readPage("docs/README.md")).map(({ target }) => `docs/${target}`);
  const pages = allPages().filter((page) => /^docs\/[\w-]+\.md$/.test(page));
  assert.deepEqual(pages.filter((page) => page !== "docs/README.md" && !listed.includes(page)), []);
});

Deno.test("README.md has one screen", () => {
  assert.ok(readPage("README.md").split("\n").length < 200);
});

Deno.test("a wrong link is found", () => {
  const faults = (page: string, text: string) =>
    linksOf(text).map(({ target }) => faultOf(page, target));
  const guide = "docs/testing.md";
  assert.deepEqual(faults(guide, "[a](../README.md) [b](from-go.md#select) [c](#fake-timers)"), [
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual(faults(guide, "[a](nothing.md)\n[b](from-go.md#nothing)\n[c](#nothing)"), [
    "there is no such file",
    "there is no such heading",
    "there is no such heading",
  ]);
  assert.deepEqual(faults(guide, "[a](internals/amqp.md) [b](../tests/README.md)"), [
    "the page is published, and the file is not",
    "the page is published, and the file is not",
  ]);
  assert.deepEqual(faults("tests/README.md", "[a](../docs/internals/amqp.md)"), [undefined]);
  assert.deepEqual(faults(guide, "[a](/etc/passwd) [b](../../other.md)"), [
    "it leaves the project",
    "it leaves the project",
  ]);
  assert.deepEqual(
    faults(guide, "[a](https://example.org/x) <https://example.org> (https://example.org/x)."),
    [undefined, undefined, undefined],
  );
  assert.deepEqual(faults(guide, "[a](http://example.org) [b](https://localhost:1)"), [
    "it does not begin with https:",
    "its host is not public",
  ]);
  assert.deepEqual(faults(guide, "`[a](x)`\n```ts\n[a](x)\n```\n"), []);
  assert.deepEqual(anchorsOf("# A `b` (c)\n## One\n## One\n```sh\n# no\n```"), [
    "a-b-c",
    "one",
    "one-1",
  ]);
});
