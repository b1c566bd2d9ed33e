// The tables of the guides: the types of every snippet are checked, and the snippet runs after the program above its
// table.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { within } from "./conformance/fixture.ts";

/** A row of a table with the program above it. */
interface Row {
  readonly title: string;
  readonly program: string;
  readonly lines: readonly string[];
}

function rowsOf(guide: string): Row[] {
  const text = readFileSync(new URL(`../docs/${guide}.md`, import.meta.url), "utf8");
  const rows: Row[] = [];
  let program = "";
  for (const [part, block] of text.matchAll(/^```ts\n(.*?)^```$|^\|[^\n]*\|$/gms)) {
    if (block !== undefined) program = block;
    else {
      const cells = part.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim());
      equal(cells.length, 2, part);
      const [title, snippet] = cells.map((cell) => cell.replaceAll("\\|", "|"));
      const lines = [...snippet!.matchAll(/`([^`]+)`/g)].map(([, line]) => line!);
      const isHead = title === "Go" || title === "ChannelPy" || /^-+$/.test(title!);
      if (!isHead) rows.push({ title: title!, program, lines });
    }
  }
  return rows;
}

/** Converts a line whose comment states its result into an assertion. */
function checked(line: string): string {
  const [, code, claim] = /^(.*?)(?: \/\/ (.*))?$/.exec(line)!;
  if (claim === undefined) return `${code};`;
  const loop = /^(for await \(.*?\)) (.*)$/.exec(code!);
  if (loop !== null) return `${loop[1]} check(${loop[2]}, ${claim});`;
  if (!/^\w*Error$/.test(claim)) return `check(${code}, ${claim});`;
  return `await checkError(async () => { ${code}; }, "${claim}");`;
}

/** The assertions; `count` proves that they ran. */
const head = `
import { deepEqual, rejects } from "node:assert/strict";
let count = 0;
export const checks = (): number => count;
function check(given: unknown, expected: unknown) {
  deepEqual(given, expected);
  count++;
}
async function checkError(action: () => Promise<unknown>, name: string) {
  await rejects(action, { name });
  count++;
}
`;

/** Returns the module of one guide: a function for each row. */
function moduleOf(rows: readonly Row[]): string {
  const modTs = new URL("../mod.ts", import.meta.url).href;
  const imports = new Set<string>();
  const functions = rows.map(({ title, program, lines }, i) => {
    const body = program.replace(/^import \{([^}]*)\} from .*$/gm, (_, names: string) => {
      for (const name of names.split(",")) imports.add(name.trim());
      return "";
    });
    return `/** ${
      title.replaceAll("*/", "")
    } */\nexport async function row${i}(): Promise<void> {\n${body}\n${
      lines.map(checked).join("\n")
    }\n}\n`;
  });
  return `import { ${[...imports].join(", ")} } from ${JSON.stringify(modTs)};\n${head}\n${
    functions.join("\n")
  }`;
}

Deno.test("the guides' checks fail if a comment is wrong", async () => {
  const wrong: Row = { title: "", program: "", lines: ["[1, 2] // [1]"] };
  const error: Row = { title: "", program: "", lines: ["await 1 // RangeError"] };
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-guide-"));
  try {
    const file = join(folder, "wrong.ts");
    writeFileSync(file, moduleOf([wrong, error]));
    const module = await import(pathToFileURL(file).href);
    await rejects(module.row0(), { name: "AssertionError" });
    await rejects(module.row1(), { name: "AssertionError" });
    deepEqual(module.checks(), 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The minimum number of rows of each guide. */
const guides = [["from-go", 32], ["from-channelpy", 20]] as const;

Deno.test({
  name: "each snippet of the guides has the required types and does what it says",
  // The channels are left to their leases, as in the tables.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-guide-"));
    const fileOf = (guide: string) => join(folder, `${guide}.ts`);
    try {
      for (const [guide] of guides) writeFileSync(fileOf(guide), moduleOf(rowsOf(guide)));
      const config = fileURLToPath(new URL("../deno.json", import.meta.url));
      const files = guides.map(([guide]) => fileOf(guide));
      const args = ["check", "-q", "--config", config, ...files];
      const { status, stderr } = spawnSync(Deno.execPath(), args, { encoding: "utf8" });
      equal(status, 0, stderr);
      for (const [guide, least] of guides) {
        const rows = rowsOf(guide);
        ok(rows.length >= least, `${guide}: ${rows.length} rows`);
        const module = await import(pathToFileURL(fileOf(guide)).href);
        for (const [i, { title, lines }] of rows.entries()) {
          ok(lines.length > 0, `${title}: no snippet`);
          await t.step(title, () => within(module[`row${i}`]()));
          await clear();
        }
        const claims = rows.flatMap(({ lines }) => lines).filter((line) => line.includes(" // "));
        equal(module.checks(), claims.length);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
});

/** Deletes the named channels, so that the next row starts with new ones. */
async function clear(): Promise<void> {
  const { Channel } = await import("../mod.ts");
  for (const name of ["jobs", "numbers"]) {
    const channel = new Channel({ name });
    await channel.delete();
    await channel.close();
  }
}
