/** docs/limits.md states the numbers of the constants in src/. */
import { deepEqual, ok } from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { memoryLimit as cborMemory } from "../src/encoding/cbor/format.ts";
import { memoryLimit as jsonMemory } from "../src/encoding/json/limits.ts";
import { readPage } from "./support/pages/pages.ts";
import { ROOT } from "./support/test_files.ts";

interface Row {
  readonly limit: string;
  readonly number: string;
  readonly constant: string;
  readonly file: string;
}

const rows: Row[] = [
  ...readPage("docs/limits.md").matchAll(
    /^\| ([^|]+?) +\| ([^|]+?) +\| `([\w.]+)` in `([\w./]+)` +\|$/gm,
  ),
].map(([, limit, number, constant, file]) => ({
  limit: limit!,
  number: number!,
  constant: constant!,
  file: file!,
}));

/** Returns the value of a constant, or of a property of one: a number, or numbers joined by operators. */
function valueOf({ constant, file }: Row): number | undefined {
  const paths = globSync(`src/**/${file}`, { cwd: ROOT });
  if (paths.length !== 1) return undefined;
  const source = readFileSync(`${ROOT}/${paths[0]}`, "utf8");
  const [name, property] = constant.split(".");
  const declared = new RegExp(`^(?:export )?const ${name}(?:: [\\w<>]+)? = ([^;]*);`, "m").exec(
    source,
  )
    ?.[1];
  const text = property === undefined
    ? declared
    : new RegExp(`\\b${property}: ([^,}]*)`).exec(declared ?? "")?.[1];
  if (text === undefined || !/^[\d_ *+\-<()]+$/.test(text)) return undefined;
  return Function(`return ${text}`)();
}

/** Returns the texts by which the page may state a number. */
function textsOf(value: number): string[] {
  const units: [string, number][] = [
    ["", 1],
    [" KiB", 1024],
    [" MiB", 1024 ** 2],
    [" minutes", 60_000],
  ];
  return units.map(([unit, size]) => (value / size).toLocaleString("en-US") + unit);
}

Deno.test("limits: each number of the page is that of its constant", () => {
  ok(rows.length > 40, `${rows.length} rows`);
  const wrong = rows.filter((row) => {
    const value = valueOf(row);
    if (value === undefined) return true;
    return !textsOf(value).some((text) =>
      row.number === text || row.number.startsWith(`${text} `) || row.number.includes(` ${text} `)
    );
  });
  deepEqual(wrong.map((row) => ({ ...row, value: valueOf(row) })), []);
});

Deno.test("limits: a decoded value may take 50 times its message, and 12 MiB", () => {
  for (const limit of [cborMemory, jsonMemory]) {
    deepEqual([limit(0), limit(1000)], [12 * 1024 ** 2, 12 * 1024 ** 2 + 50_000]);
  }
  ok(readPage("docs/limits.md").includes("12 MiB and 50 times its message"));
});
