/** The names in the documentation exist: files, classes, types and functions of the code, and the targets of links. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const internals = readdirSync(join(root, "docs/internals")).map((page) => `docs/internals/${page}`);

/** The folders to which the paths of a page are relative. */
function basesOf(page: string): string[] {
  if (page === "tests/README.md") return ["tests", ""];
  const transport = /^docs\/internals\/(memory|sqlite|amqp)\.md$/.exec(page)?.[1];
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

/** Returns the anchors of a page's headings, as GitHub generates them. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-")
  );
}

const guides = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`);

for (const page of ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", ...guides, ...internals]) {
  Deno.test(`${page} links to pages and headings that exist`, () => {
    const text = readFileSync(join(root, page), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
    const broken = links.filter(([, path, anchor]) => {
      const target = path === "" ? join(root, page) : join(root, dirname(page), path!);
      if (!existsSync(target)) return true;
      return anchor !== undefined && !anchorsOf(readFileSync(target, "utf8")).includes(anchor);
    });
    assert.deepEqual(broken.map(([link]) => link), []);
  });
}
