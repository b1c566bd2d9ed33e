/** The structure of src/: which folder may import which, read from the imports of the files themselves. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const src = fileURLToPath(new URL("../src/", import.meta.url));

/** The folders of src/, from the top to the bottom: a file imports from its own folder and from those below. */
const levels = [
  "cli",
  "opentelemetry",
  "channel",
  "select",
  "rpc",
  "handle",
  "encoding",
  "home",
  "connection",
  "transports",
  "shared",
];

/**
 * The files outside of cli/ that the program imports: the entries, the codecs, a few helpers, and what only tools need.
 * None is an engine's.
 */
const seenByProgram = new Set([
  "../mod.ts",
  "../home.ts",
  "channel/raw_channel.ts",
  "connection/config.ts",
  "connection/inspect.ts", // what the engines tell the command doctor
  "encoding/cbor/mod.ts",
  "shared/host.ts",
  "shared/redact.ts",
  "shared/version.ts",
]);

/** The transports whose broker or home is elsewhere; they share the files of transports/remote/. */
const isRemote = new Set(["transports/amqp", "transports/home", "transports/redis"]);

/** The file names that several folders share because each transport has the same shape, or each encoding. */
const shapes = new Set([
  "transport.ts",
  "link.ts",
  "loan.ts",
  "uri.ts",
  "scheme.ts",
  "failure.ts",
  "inspector.ts",
  "session.ts",
  "mod.ts",
  "encode.ts",
  "decode.ts",
]);

interface File {
  readonly path: string;
  readonly text: string;
  /** The files of src/ that it imports, types included. */
  readonly imports: readonly string[];
}

const files: readonly File[] = (readdirSync(src, { recursive: true }) as string[])
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .map((path) => {
    const text = readFileSync(join(src, path), "utf8");
    const specifiers = text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*"(\.[^"]+)"/g);
    const imports = [...specifiers].map(([, specifier]) =>
      relative(src, join(src, dirname(path), specifier!)).replaceAll("\\", "/")
    );
    return { path, text, imports };
  });

/** Every import, as `importer -> imported`, for which `isWrong` holds. */
function wrong(isWrong: (from: string, to: string) => boolean): string[] {
  return files.flatMap(({ path, imports }) =>
    imports.filter((to) => isWrong(path, to)).map((to) => `${path} -> ${to}`)
  );
}

Deno.test("layout: every file is in one of the folders, and imports only its own folder and those below", () => {
  const folders = readdirSync(src, { withFileTypes: true });
  assert.deepEqual(folders.map(({ name }) => name).sort(), [...levels].sort());
  assert.ok(files.length > 100 && files.flatMap(({ imports }) => imports).length > 300);
  const level = (path: string) => levels.indexOf(path.split("/")[0]!);
  assert.deepEqual(wrong((from, to) => !to.startsWith("../") && level(to) < level(from)), []);
});

Deno.test("layout: a transport imports nothing of the core but the contract, shared/ and what is remote/", () => {
  const folder = (path: string) => path.split("/").slice(0, 2).join("/");
  assert.deepEqual(
    wrong((from, to) =>
      from.startsWith("transports/") &&
      !to.startsWith("shared/") && !/^transports\/[^/]+$/.test(to) && folder(to) !== folder(from) &&
      !(isRemote.has(folder(from)) && folder(to) === "transports/remote")
    ),
    [],
  );
});

Deno.test("layout: the program uses the library as its users do, but for the listed files", () => {
  const strange = wrong((from, to) =>
    from.startsWith("cli/") && !to.startsWith("cli/") && !seenByProgram.has(to)
  );
  assert.deepEqual(strange, []);
});

Deno.test("layout: an encoding imports nothing but itself and the errors that both encodings throw", () => {
  const folder = /^encoding\/(?:cbor|json)\//;
  assert.deepEqual(
    wrong((from, to) => {
      const own = folder.exec(from)?.[0];
      return own !== undefined && !to.startsWith(own) && to !== "shared/clone_error.ts";
    }),
    [],
  );
});

Deno.test("layout: no circle of imports, types included, but within the CBOR codec", () => {
  const isIgnored = (path: string) => path.startsWith("encoding/cbor/");
  const importsOf = new Map(files.map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const way: string[] = [];
  const circles: string[] = [];
  const visit = (path: string) => {
    if (done.has(path) || isIgnored(path)) return;
    const start = way.indexOf(path);
    if (start >= 0) {
      circles.push([...way.slice(start), path].join(" -> "));
      return;
    }
    way.push(path);
    for (const to of importsOf.get(path) ?? []) visit(to);
    way.pop();
    done.add(path);
  };
  for (const { path } of files) visit(path);
  assert.deepEqual(circles, []);
});

Deno.test("layout: no two files and no two classes bear one name", () => {
  const named = files.filter(({ path }) => !path.startsWith("cli/commands/")); // for the commands
  const names = named.map(({ path }) => basename(path)).filter((name) => !shapes.has(name));
  assert.deepEqual(repeated(names), []);
  const classes = files.flatMap(({ text }) =>
    [...text.matchAll(/^(?:export )?(?:abstract )?class (\w+)/gm)].map(([, name]) => name!)
  );
  assert.ok(classes.length > 60);
  assert.deepEqual(repeated(classes), []);
});

function repeated(names: readonly string[]): string[] {
  return names.filter((name, i) => names.indexOf(name) !== i);
}

Deno.test("layout: no parameter of SQL has a number, which Node takes for a name before 22.20", () => {
  const numbered = files.filter(({ path, text }) =>
    path.startsWith("transports/sqlite/") && /^ *"[^"]*\?\d/m.test(text)
  );
  assert.deepEqual(numbered.map(({ path }) => path), []);
});
