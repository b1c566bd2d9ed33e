// docs/options.md lists every option of every call, with its values and its default.

import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  after,
  Channel,
  Connection,
  Home,
  listen,
  pipe,
  select,
  serve,
  trySelect,
} from "../home.ts";
import { parseConfigFile } from "../src/connection/config_file.ts";
import { readPage } from "./support/pages/pages.ts";
import { ROOT } from "./support/test_files.ts";

/** An option as the page describes it; `call` is one of the calls in its row. */
interface Row {
  readonly call: string;
  readonly option: string;
  readonly values: string;
  readonly default: string;
}

const page = readPage("docs/options.md");

const callsIn = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, call]) => call!);

/** The calls that the table names "operations". */
const operations = callsIn(/the operations are the calls that may wait:([^.]*)\./.exec(page)![1]!);

const rows: Row[] = [...page.matchAll(/^\| ([^|]*) \| `(\w+)` *\| ([^|]*) \| ([^|]*) \|/gm)]
  .flatMap(([, calls, option, values, standard]) =>
    [...calls!.startsWith("operations") ? operations : [], ...callsIn(calls!)].map((call) => ({
      call,
      option: option!,
      values: values!.trim(),
      default: standard!.trim(),
    }))
  );

/** A part of the output of `deno doc --json`. */
interface Type {
  readonly kind: string;
  readonly value: unknown;
}
interface Param {
  readonly kind: string;
  readonly left?: Param;
  readonly name?: string;
  readonly tsType?: Type | null;
}
interface Property {
  readonly name: string;
  readonly jsDoc?: { readonly doc?: string };
}
interface Definition {
  readonly extends?: string | readonly { readonly repr: string }[];
  readonly properties?: readonly Property[];
  readonly params?: readonly Param[];
  readonly constructors?: readonly { readonly params: readonly Param[] }[];
  readonly methods?: readonly {
    readonly name: string;
    readonly functionDef: { readonly params: readonly Param[] };
  }[];
}
interface Declaration {
  readonly kind: string;
  readonly location: { readonly filename: string };
  readonly def: Definition;
}
interface Doc {
  readonly nodes: Record<
    string,
    { readonly symbols: readonly { name: string; declarations: Declaration[] }[] }
  >;
}

const declarations: ReadonlyMap<string, readonly Declaration[]> = (() => {
  const args = ["doc", "--json", "home.ts"]; // it exports what mod.ts does, and more
  const { status, stdout, stderr } = spawnSync(Deno.execPath(), args, {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    maxBuffer: 2 ** 28,
  });
  equal(status, 0, stderr);
  const { nodes } = JSON.parse(stdout) as Doc;
  const symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
  return new Map(symbols.map(({ name, declarations }) => [name, declarations]));
})();

/** Returns the properties of an interface, and of those that it extends. */
function propertiesOf(name: string): Property[] {
  return (declarations.get(name) ?? []).flatMap(({ def }) => {
    const bases = Array.isArray(def.extends) ? def.extends : [];
    return [...def.properties ?? [], ...bases.flatMap(({ repr }) => propertiesOf(repr))];
  });
}

/** Returns the options that a function takes, by the type of its last parameter. */
function optionsOf(params: readonly Param[]): Property[] {
  const last = params.at(-1);
  const type = (last?.left ?? last)?.tsType;
  return type === undefined || type === null ? [] : optionsIn(type);
}

function optionsIn({ kind, value }: Type): Property[] {
  if (kind === "union") return (value as Type[]).flatMap(optionsIn);
  if (kind === "typeLiteral") return [...(value as Definition).properties!];
  const name = kind === "typeRef" ? (value as { readonly typeName: string }).typeName : "";
  return name.endsWith("Options") ? propertiesOf(name) : [];
}

/**
 * The options of each call, as the source declares them. The constructors of errors, the classes for transports, and
 * what a home is called for as a transport are not called by programs.
 */
const declared: { readonly call: string; readonly property: Property }[] = [];
for (const [name, each] of declarations) {
  const found = new Map<string, Property>();
  const add = (call: string, params: readonly Param[]) => {
    for (const property of optionsOf(params)) found.set(`${call}.${property.name}`, property);
  };
  for (const { kind, def, location } of each) {
    if (location.filename.includes("/src/transports/")) continue;
    if (kind === "function") add(name, def.params!);
    if (kind !== "class" || name.endsWith("Error")) continue;
    for (const { params } of def.constructors ?? []) add(`new ${name}`, params);
    for (const { name: method, functionDef } of def.methods ?? []) {
      if (method !== "open") add(method, functionDef.params);
    }
  }
  for (const [key, property] of found) {
    const call = key.slice(0, key.lastIndexOf("."));
    if (!declared.some((other) => other.call === call && other.property.name === property.name)) {
      declared.push({ call, property });
    }
  }
}

Deno.test("options page: it lists every option of every call, each once", () => {
  const keys = declared.map(({ call, property }) => `${call} ${property.name}`).sort();
  ok(keys.length >= 60, `${keys.length} options`);
  deepEqual(rows.map(({ call, option }) => `${call} ${option}`).sort(), keys);
});

/** A value that no option takes. */
const wrong = Symbol();

/** Calls a function of the library with an option that it refuses, and returns the message. */
async function refusalOf(call: string, option: string): Promise<string> {
  const ch = new Channel<number>({ connection: "memory:options_page" });
  const options = { [option]: wrong };
  const target = ch as unknown as Record<string, (...args: unknown[]) => unknown>;
  const calls: Record<string, () => unknown> = {
    "new Channel": () => new Channel(options),
    "new Connection": () => new Connection("amqps://localhost", options),
    "new Home": () => new Home(options),
    listen: () => listen("zmq://127.0.0.1:0", options),
    select: () => select({ late: after(1) }, options),
    trySelect: () => trySelect({ late: after(1) }, options),
    serve: () => serve(ch, () => 1, options),
    pipe: () => pipe(ch, ch, options),
    accept: () => {
      const { port1, port2 } = new MessageChannel();
      try {
        new Home().accept(port1, options);
      } finally {
        port1.close();
        port2.close();
      }
    },
    release: async () => {
      await ch.put(1);
      (await ch.receive()).release(options);
    },
  };
  const puts = ["put", "tryPut", "request", "broadcast"].includes(call);
  const run = calls[call] ?? (() => target[call]!(...puts ? [1] : [], options));
  const error = await Promise.resolve().then(run).then(() => undefined, (error) => error);
  ok(error instanceof Error, `${call} took a symbol as ${option}`);
  return error.message;
}

/** Returns a text without code marks, and numbers without commas. */
function plain(text: string): string {
  return text.replaceAll("`", "").replaceAll(/(?<=\d),(?=\d)/g, "");
}

Deno.test("options page: the values are those that the calls take", async () => {
  for (const { call, option, values } of rows) {
    const message = await refusalOf(call, option);
    const [, takes] = /option "\w+" takes (.*?)(?:, not a symbol)?$/.exec(message) ?? [];
    equal(plain(values), takes, `${call} ${option}: ${message}`);
  }
});

/** The files that set the defaults of a call's options. */
const files: Record<string, readonly string[]> = {
  serve: ["src/rpc/serve.ts", "src/rpc/server.ts"],
  pipe: ["src/channel/piping.ts"],
  broadcasts: ["src/channel/broadcasts.ts"],
  writable: ["src/channel/streams.ts"],
  release: ["src/handle/delivery.ts"],
  "new Channel": ["src/channel/channel_options.ts", "src/handle/handle.ts"],
  clone: ["src/channel/channel_options.ts", "src/handle/handle.ts"],
  "new Connection": ["src/handle/handle.ts"],
};

const sources = globSync("src/**/*.ts", { cwd: ROOT })
  .map((file) => readFileSync(join(ROOT, file), "utf8")).join("\n");

/** Returns the default in the code: of `{ option = value }`, `options.option ?? value`, or a lease. */
function codedDefault({ call, option }: Row): unknown {
  const text = (files[call] ?? []).map((file) => readFileSync(join(ROOT, file), "utf8")).join("\n");
  const patterns = [
    new RegExp(String.raw`\b${option}(?:: \w+)? = ([\w."]+)[,;\s]`),
    new RegExp(String.raw`[oO]ptions\.${option} \?\? (?:[\w?.]+ \?\? )*([\w"]+)`),
    option === "expires" ? /expires === undefined\s*\? name === undefined \? (\w+)/ : /^$^/,
  ];
  const found = patterns.map((pattern) => pattern.exec(text)?.[1]).find((each) => each);
  if (found === undefined || found === "undefined") return undefined;
  return valueOf(found);
}

function valueOf(code: string): unknown {
  const constant = new RegExp(String.raw`\bconst ${code}(?:: \w+)? = ([^;]+);`).exec(sources)?.[1];
  const text = constant ?? code;
  if (/^["\d]|^true$|^false$/.test(text)) return new Function(`return ${text}`)();
}

/** Returns the default that the comment of the option states. */
function documentedDefault({ call, option }: Row): unknown {
  const { property } = declared.find((each) =>
    each.call === call && each.property.name === option
  )!;
  const doc = property.jsDoc?.doc ?? "";
  const [, before] = /(`"[\w-]+"`), the default/.exec(doc) ?? [];
  const [, text] = /[dD]efault:? (`?[\w",.-]+`?)/.exec(doc) ?? [];
  const value = (before ?? text)?.replaceAll("`", "").replaceAll(/(?<=\d),(?=\d)/g, "")
    .replace(/[,.;]+$/, "");
  return value !== undefined && /^"|^\d+$|^true$|^false$/.test(value)
    ? JSON.parse(value)
    : undefined;
}

Deno.test("options page: the defaults are those of the source", () => {
  let count = 0;
  for (const row of rows) {
    const [, text] = /("[\w-]+"|\b\d+\b|\btrue\b|\bfalse\b)/.exec(plain(row.default)) ?? [];
    const stated = text === undefined ? undefined : JSON.parse(text);
    const [coded, documented] = [codedDefault(row), documentedDefault(row)];
    const label = `${row.call} ${row.option}: the page says ${row.default}`;
    if (coded !== undefined) equal(stated, coded, `${label}, the code ${coded}`);
    if (documented !== undefined) {
      equal(stated, documented, `${label}, the comment ${documented}`);
    }
    const isFalse = stated === false; // what an option that is absent means
    ok(stated === undefined || isFalse || coded !== undefined || documented !== undefined, label);
    if (stated !== undefined) count++;
  }
  ok(count >= 20, `${count} defaults`);
});

const connections = readPage("docs/connections.md");

/** Returns the rows of the table of docs/connections.md whose first column has this heading. */
function tableOf(heading: string): string[][] {
  const [, body] = new RegExp(String.raw`^\| ${heading} .*\n\| -.*\n((?:\|.*\n)+)`, "m")
    .exec(connections)!;
  return body!.trim().split("\n").map((line) =>
    line.slice(1, -1).split("|").map((cell) => plain(cell).trim())
  );
}

/** Returns the message with which a URI is refused. */
function refusedUri(uri: string): string {
  try {
    new Connection(uri);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error(`${uri} is not refused`);
}

Deno.test("options page: the parameters of URIs and the keys of files are those of the source", async () => {
  const tables = [...connections.matchAll(/^\| Parameter .*\n\| -.*\n((?:\|.*\n)+)/gm)]
    .map(([, body]) =>
      body!.trim().split("\n")
        .map((line) => line.slice(1, -1).split("|").map((cell) => plain(cell).trim()))
    );
  equal(tables.length, 3);
  const [[sqlite], amqp, redis] = tables as [string[][], string[][], string[][]];
  const ofRedis = /expected (.*)$/.exec(refusedUri("redis://localhost?x=1"))![1]!.split(", ");
  deepEqual(redis.map(([name]) => name), ofRedis);
  const known = /expected (.*)$/.exec(refusedUri("amqp://localhost?x=1"))![1]!.split(", ");
  const names = amqp.map(([name]) => name!);
  deepEqual(names, known.filter((name) => !/[A-Z]/.test(name)));
  for (const [name, values] of amqp) {
    if (name === "name") continue;
    const [, least, most] = /from (\d+) to (\d+)$/.exec(refusedUri(`amqp://h?${name}=x`))!;
    const range = name === "channel_max" ? `4 to ${most}` : `${least} to ${most}`;
    ok(values!.includes(range), `${name}: ${values}; expected ${range}`);
  }
  const heartbeat = /uri\.heartbeat \?\? (\d+)/.exec(sources)![1];
  equal(amqp.find(([name]) => name === "heartbeat")![2], heartbeat);
  equal(sqlite![0], "synchronous");
  match(refusedUri("sqlite:x.db?synchronous=x"), /expected .*synchronous=normal or full/);
  deepEqual(sqlite![1], "normal, full");

  const error = await parseConfigFile("page", "x: 1").catch((error) => error);
  const keys = /expected one of (.*)$/.exec(error.message)![1]!.split(", ");
  deepEqual(tableOf("Key").map(([key]) => key), keys);
});
