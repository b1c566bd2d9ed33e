// The entries of the package, as deno.json names them.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./test_files.ts";

const { exports } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, string>>;
};

/** The files of the entries, such as `./mod.ts`, by the names by which they are imported, such as `.`. */
export const ENTRIES: ReadonlyMap<string, string> = new Map(Object.entries(exports));
