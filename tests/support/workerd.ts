import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Readable } from "node:stream";
import { npmPackages } from "./npm.ts";
import { cleanEnv } from "./supervisor.ts";

/** A Worker for {@linkcode Workerd}. */
export interface WorkerScript {
  /** An ES module. */
  readonly script: string;
  readonly flags?: readonly string[];
  /** Texts that the Worker finds in its `env`. */
  readonly bindings?: Readonly<Record<string, string>>;
  /** The name of an exported class of Durable Objects, which is bound to its name in capitals. */
  readonly durableObject?: string;
}

/** Cloudflare's runtime, which serves one Worker on 127.0.0.1. */
export class Workerd implements AsyncDisposable {
  readonly url: string;
  readonly #end: () => Promise<void>;
  readonly #output: () => string;

  private constructor(url: string, end: () => Promise<void>, output: () => string) {
    this.url = url;
    this.#end = end;
    this.#output = output;
  }

  static async start(worker: WorkerScript): Promise<Workerd> {
    const require = createRequire(join(await npmPackages("workerd"), "package.json"));
    const { default: program } = require("workerd") as { default: string };
    const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-workerd-"));
    writeFileSync(join(folder, "worker.js"), worker.script);
    writeFileSync(join(folder, "config.capnp"), configOf(worker));
    const args = ["serve", "--control-fd=3", join(folder, "config.capnp")];
    const child = spawn(program, args, {
      env: cleanEnv(),
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream!.on("data", (chunk) => output += chunk);
    }
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const end = async () => {
      child.kill("SIGKILL");
      await exited;
      rmSync(folder, { recursive: true, force: true });
    };
    try {
      const port = await new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        exited.then(() => reject(new Error(`workerd ended: ${output.slice(-3000)}`)));
        let events = "";
        (child.stdio[3] as Readable).on("data", (chunk) => {
          events += chunk;
          const port = /"port":(\d+)/.exec(events)?.[1];
          if (port !== undefined) resolve(Number(port));
        });
      });
      return new Workerd(`http://127.0.0.1:${port}`, end, () => output);
    } catch (error) {
      await end();
      throw error;
    }
  }

  /** What workerd has written, for example about errors outside of requests. */
  get output(): string {
    return this.#output();
  }

  /** Requests a path, and returns the JSON of the answer. @throws the text of another answer than 200 */
  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    const response = await fetch(this.url + path, signal === undefined ? {} : { signal });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }
}

/** The configuration, in the language of Cap'n Proto. */
function configOf({ flags = [], bindings = {}, durableObject }: WorkerScript): string {
  const all = Object.entries(bindings).map(([name, text]) =>
    `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`
  );
  if (durableObject !== undefined) {
    all.push(
      `(name = "${durableObject.toUpperCase()}", durableObjectNamespace = "${durableObject}")`,
    );
  }
  const namespaces = durableObject === undefined ? "" : `
  durableObjectNamespaces = [(className = "${durableObject}", uniqueKey = "${durableObject}")],
  durableObjectStorage = (inMemory = void),`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["local", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
  v8Flags = ["--expose-gc"],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-06-01",
  compatibilityFlags = ${JSON.stringify(flags)},
  bindings = [${all.join(", ")}],${namespaces}
);
`;
}
