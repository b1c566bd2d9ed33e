// Snippets and the rows of tables as programs: the comments that state a value or an error become assertions.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../test_files.ts";
import { readPage, type Snippet } from "./pages.ts";

/** A row of a table with snippets, and the program above the table. */
export interface Row {
  readonly title: string;
  readonly program: string;
  readonly lines: readonly string[];
}

const claims = pathToFileURL(join(ROOT, "tests/support/pages/claims.ts")).href;
const head = `import { equals as claimEquals, throws as claimThrows } from "${claims}";`;

/** A comment that states a value as JavaScript writes it, or the name of an error. */
const stated = String
  .raw`("[^"]*"|-?\d[\d_.]*n?|true|false|null|undefined|NaN|\[.*\]|\{.*\}|\w*Error)`;
const claim = new RegExp(String.raw`^( *)(.+?);? // ${stated}$`);
/** A statement that has no value, or the end of one that began on an earlier line. */
const noExpression = /^(?:const|let|var|return|throw|if|else|while|import|export|type|[})\]])/;

/**
 * Converts a line whose comment states its result into assertions.
 *
 * @param final whether the line has no semicolon, as in a table
 * @throws for a statement that has no value
 */
export function checked(line: string, final = false): string {
  const [, indent, code, result] = (final || line.includes("; //")) && claim.exec(line) || [];
  if (code === undefined) return line;
  const loop = /^(for await \(.*?\)) (.*)$/.exec(code);
  if (loop !== null) return `${indent}${loop[1]} claimEquals(${loop[2]}, ${result});`;
  const printed = /^console\.log\((.*)\)$/.exec(code);
  if (printed !== null) return `${indent}claimEquals(${printed[1]}, ${result});`;
  const isError = /^[A-Z]\w*Error$/.test(result!);
  if (noExpression.test(code)) {
    if (isError && code.startsWith("const ")) return line; // the type of a variable
    throw new Error(`nothing checks the comment of this line: ${line}`);
  }
  return isError
    ? `${indent}await claimThrows(async () => { ${code}; }, "${result}");`
    : `${indent}claimEquals(${code}, ${result});`;
}

/** Where the channels of a snippet are. */
export interface Places {
  /** The broker that takes the place of `amqp://localhost`. */
  readonly broker: string;
  /** The server that takes the place of `redis://localhost`. */
  readonly redis: string;
  /** The folder of the files that `sqlite:` names. */
  readonly folder: string;
}

/** Reports whether a program uses the broker on this machine. */
export function namesBroker(text: string): boolean {
  return /\bamqp:\/\/localhost\b/.test(text);
}

/** Reports whether a program uses the Redis on this machine. */
export function namesRedis(text: string): boolean {
  return /\bredis:\/\/localhost\b/.test(text);
}

/** Replaces the addresses of a program. */
function placed(text: string, { broker, redis, folder }: Places): string {
  return text
    .replaceAll(/\bredis:\/\/localhost(?::6379)?\b/g, redis)
    .replaceAll(/\bamqp:\/\/localhost(?::5672)?\b/g, broker.replace(/\/$/, ""))
    .replaceAll(
      /(["'`])sqlite:([\w./-]+)/g,
      (_, quote, path: string) => `${quote}sqlite:${folder}/${path.replaceAll("/", "_")}`,
    );
}

/** The entry points of the package, by the names under which programs import them. */
const entries: ReadonlyMap<string, string> = (() => {
  const { name, exports } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  return new Map(
    Object.entries(exports as Record<string, string>).map(([path, file]) => [
      join(name, path),
      pathToFileURL(join(ROOT, file)).href,
    ]),
  );
})();

function imported(text: string): string {
  return text.replaceAll(/(["'])(@channelts\/channel[\w/]*)\1/g, (_, quote, name: string) => {
    const file = entries.get(name);
    if (file === undefined) throw new Error(`the package has no entry ${name}`);
    return `${quote}${file}${quote}`;
  });
}

/** Returns the program of a snippet. Its lines have the numbers that they have on the page. */
export function programOf({ text, line }: Snippet, places: Places): string {
  const code = text.split("\n").map((each) => checked(each)).join("\n");
  return `${head}${"\n".repeat(line - 1)}${imported(placed(code, places))}\nexport {};\n`;
}

/** Returns the rows of the tables of a page whose last column is headed `ChannelTS`. */
export function rowsOf(page: string, text: string = readPage(page)): Row[] {
  const rows: Row[] = [];
  let program = "";
  let isTable = false;
  for (const [part, block] of text.matchAll(/^```ts\n(.*?)^```$|^```.*?^```$|^[^\n]*$/gms)) {
    if (block !== undefined) program = block;
    const cells = part.startsWith("|")
      ? part.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"))
      : [];
    if (cells.length === 0) isTable = false;
    else if (cells.at(-1) === "ChannelTS") isTable = true;
    else if (isTable && !/^-+$/.test(cells[0]!)) {
      const lines = [...cells.at(-1)!.matchAll(/`([^`]+)`/g)].map(([, line]) => line!);
      rows.push({ title: cells[0]!, program, lines });
    }
  }
  return rows;
}

/** Returns the module of a page's rows: a function for each row, `row0`, `row1` and so on. */
export function moduleOf(rows: readonly Row[], places: Places): string {
  const imports = new Set<string>();
  const functions = rows.map(({ title, program, lines }, i) => {
    const body = program.replace(/^import .*? from .*$/gm, (line) => {
      imports.add(line);
      return "";
    });
    const code = lines.map((line) => checked(line, true)).join("\n");
    return `/** ${
      title.replaceAll("*/", "")
    } */\nexport async function row${i}(): Promise<void> {\n${body}\n${code}\n}\n`;
  });
  return imported(placed(`${head}\n${merged(imports)}\n${functions.join("\n")}`, places));
}

/** Merges imports of one module, because several programs import the same names. */
function merged(imports: ReadonlySet<string>): string {
  const names = new Map<string, Set<string>>();
  const others: string[] = [];
  for (const line of imports) {
    const [, list, from] = /^import \{([^}]*)\} from (.*)$/.exec(line) ?? [];
    if (list === undefined) others.push(line);
    else {
      const known = names.get(from!) ?? names.set(from!, new Set()).get(from!)!;
      for (const name of list.split(",")) if (name.trim() !== "") known.add(name.trim());
    }
  }
  const lists = [...names].map(([from, list]) => `import { ${[...list].join(", ")} } from ${from}`);
  return [...others, ...lists].join("\n");
}

/** Returns the names of the channels that a program names. */
export function channelNames(text: string): string[] {
  const named = text.matchAll(/\bname: "([^"]+)"|\bChannel(?:<[^()]*>)?\("([^"]+)"\)/g);
  return [...new Set([...named].map(([, option, argument]) => (option ?? argument)!))];
}
