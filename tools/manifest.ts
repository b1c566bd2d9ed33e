// The package.json of the npm package. What deno.json says is read from there and not repeated here.

/** The parts of deno.json that the package is made from. */
export interface DenoConfig {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Entry points and their source files: `{ "./memory": "./memory.ts" }`. */
  readonly exports: Readonly<Record<string, string>>;
  /** Bare specifiers and what they stand for: `{ "yaml": "npm:yaml@^2.8.0" }`. */
  readonly imports: Readonly<Record<string, string>>;
  readonly compilerOptions: Readonly<Record<string, unknown>>;
}

/** A package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly license: string;
  readonly type: "module";
  readonly sideEffects: false | readonly string[];
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  /** The program, which `npx` and `bunx` run. */
  readonly bin: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
  /** What npm installs if it can. The library works without them, except for what needs them. */
  readonly optionalDependencies: Readonly<Record<string, string>>;
  /** What an entry uses if the program has it. */
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: true }>>;
}

/** The packages without which the library works, except for what loads them: encryption on `zmq:`, and `ws:` on Node. */
const OPTIONAL = ["libsodium-wrappers", "ws"];

/**
 * The packages that belong to the program, and that npm does not install for the library: only the entry
 * ./opentelemetry imports the API of OpenTelemetry, of which a program has one copy, with the SDK that it chooses.
 */
const PEERS = ["@opentelemetry/api"];

const DESCRIPTION = "Go-style channels that cross tasks, threads, processes and hosts";

const KEYWORDS = [
  "channel",
  "csp",
  "go",
  "select",
  "queue",
  "message-queue",
  "job-queue",
  "worker",
  "rpc",
  "amqp",
  "rabbitmq",
  "sqlite",
  "deno",
  "bun",
];

/** The oldest Node on which the package works: the first of Node 20 with `require` of modules. */
const NODE = ">=20.19";

/** The file of the package that is the program `channelts`. */
export const PROGRAM = "channelts.js";

/** Returns the file of the package that a source file becomes: `./mod.ts` becomes `./mod.js`. */
export function compiled(source: string, extension: ".js" | ".d.ts"): string {
  return source.replace(/\.ts$/, extension);
}

/**
 * Returns the package.json of a package.
 *
 * @param scripts the JavaScript files of the package: paths such as `mod.js`, and texts without doc comments
 */
export function manifest(config: DenoConfig, scripts: ReadonlyMap<string, string>): Manifest {
  const entries = Object.entries(config.exports);
  return {
    name: config.name,
    version: config.version,
    description: DESCRIPTION,
    keywords: KEYWORDS,
    license: config.license,
    type: "module",
    sideEffects: sideEffects(entries.map(([, source]) => compiled(source, ".js")), scripts),
    exports: Object.fromEntries(entries.map(([entry, source]) => [
      entry,
      { types: compiled(source, ".d.ts"), default: compiled(source, ".js") },
    ])),
    bin: { channelts: PROGRAM },
    engines: { node: NODE },
    ...dependencies(config, scripts),
  };
}

/** Returns the npm packages that the scripts import, with the versions that deno.json maps their names to. */
function dependencies(
  { imports }: DenoConfig,
  scripts: ReadonlyMap<string, string>,
): Pick<
  Manifest,
  "dependencies" | "optionalDependencies" | "peerDependencies" | "peerDependenciesMeta"
> {
  const names = new Set<string>();
  for (const script of scripts.values()) {
    for (const specifier of specifiersOf(script)) {
      const [name] = /^(?:@[^/]+\/)?[^/]+/.exec(specifier) ?? [];
      if (!/^(\.|node:)/.test(specifier)) names.add(name!);
    }
  }
  const versions = [...names].sort().map((name) => {
    const [, version] = /^npm:.+@(.+)$/.exec(imports[name] ?? "") ?? [];
    if (version === undefined) throw new Error(`deno.json maps "${name}" to no version of npm's`);
    return [name, version] as const;
  });
  return {
    dependencies: Object.fromEntries(
      versions.filter(([name]) => !OPTIONAL.includes(name) && !PEERS.includes(name)),
    ),
    optionalDependencies: Object.fromEntries(versions.filter(([name]) => OPTIONAL.includes(name))),
    peerDependencies: Object.fromEntries(versions.filter(([name]) => PEERS.includes(name))),
    peerDependenciesMeta: Object.fromEntries(
      names.intersection(new Set(PEERS)).values().map((name) => [name, { optional: true }]),
    ),
  };
}

/**
 * Returns the files that do something when they are loaded, besides defining what they export: entries with statements
 * of their own, and files that are imported for their effect. False if there is none.
 */
function sideEffects(entries: string[], scripts: ReadonlyMap<string, string>): string[] | false {
  const found = entries.filter((entry) => {
    const script = scripts.get(entry.slice(2)) ?? "";
    return script.replaceAll(STATEMENT, "").replaceAll(/^\s*\/\/.*$/gm, "").trim() !== "";
  });
  for (const [path, script] of scripts) {
    for (const [, specifier] of script.matchAll(/^import "(\.[^"]+)";/gm)) {
      found.push(`./${new URL(specifier!, `file:///${path}`).pathname.slice(1)}`);
    }
  }
  return found.length > 0 ? [...new Set(found)].sort() : false;
}

/** An import, or an export from another module, as tsc writes it. */
const STATEMENT = /^(?:import|export)\b(?:[\w\s{},*$]*\bfrom)? *"([^"]+)";/gm;

/** Returns the specifiers of a script's static imports, re-exports and dynamic imports. */
export function specifiersOf(script: string): string[] {
  const found = [...script.matchAll(STATEMENT)].map(([, specifier]) => specifier);
  const dynamic = [...script.matchAll(/\bimport\((?:\/\*.*?\*\/\s*)?"([^"]+)"\)/g)];
  return [...found, ...dynamic.map(([, specifier]) => specifier)].filter((each) =>
    each !== undefined
  );
}
