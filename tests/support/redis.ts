// Invariants:
// - Every process and file of a server belongs to its Supervisor: closing that, or its death, removes all of them.
// - A server listens on 127.0.0.1 only, on a port of its own; one on another host listens there, and on a socket file.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { unpackPackage } from "./debian.ts";
import { findProgram } from "./installation.ts";
import type { Host } from "./namespaces.ts";
import { freePorts, probe, waitUntil } from "./net.ts";
import { cleanEnv, Supervisor } from "./supervisor.ts";

/** The options of {@linkcode startRedis}. */
export interface RedisServerOptions {
  /** Lines for redis.conf. */
  readonly conf?: readonly string[];
  /** The server's program; default: {@linkcode findRedis}. */
  readonly program?: RedisProgram;
  /** The host that the server runs on; default: this one. */
  readonly host?: Host;
  /** Finds ports; default: {@linkcode freePorts}. */
  readonly ports?: (count: number) => Promise<number[]>;
}

/** A server's program. */
export interface RedisProgram {
  /** The path of the program. */
  readonly command: string;
  /** The folder of its libraries, if they are not the system's. */
  readonly libraries: string;
}

/** The programs that `TEST_REDIS` names, separated by ":". */
export function givenPrograms(): string[] {
  return (process.env.TEST_REDIS ?? "").split(":").filter(Boolean);
}

/**
 * Returns the Redis that tests start: the first program that `TEST_REDIS` names, or an installed one, or Debian's package,
 * which is fetched and unpacked once.
 *
 * @throws with the reason if there is none
 */
export async function findRedis(): Promise<RedisProgram> {
  const [given] = givenPrograms();
  if (given !== undefined) {
    return { command: given, libraries: process.env.TEST_REDIS_LIBRARIES ?? "" };
  }
  const installed = findProgram("redis-server") ?? findProgram("valkey-server");
  if (installed !== undefined) return { command: installed, libraries: "" };
  const root = await unpackPackage("redis-server");
  return {
    command: join(root, "usr/bin/redis-server"),
    libraries: join(root, "usr/lib", `${machine()}-linux-gnu`),
  };
}

function machine(): string {
  return process.arch === "arm64" ? "aarch64" : "x86_64";
}

/** A server of one test, which may stop or crash it. */
export class PrivateRedis implements AsyncDisposable {
  readonly port: number;
  /** The port at which other nodes of its cluster reach it, if it is for one. */
  readonly bus: number | undefined;
  readonly uri: string;
  readonly directory: string;
  /** The socket file of a server on another host. */
  readonly socket: string | undefined;
  readonly #supervisor: Supervisor;
  #isRunning = false;
  #onExit: () => void = () => {};
  #exited: Promise<void> = Promise.resolve();

  constructor(
    { command, libraries }: RedisProgram,
    [port, bus]: readonly [port: number, bus?: number | undefined],
    conf: readonly string[],
    host?: Host,
  ) {
    this.port = port;
    this.bus = bus;
    this.uri = `redis://${host?.address ?? "127.0.0.1"}:${port}`;
    this.directory = mkdtempSync(join(tmpdir(), "channelts-redis-"));
    this.socket = host && join(this.directory, "socket");
    const file = join(this.directory, "redis.conf");
    const lines = [
      ...host === undefined ? ["bind 127.0.0.1"] : [
        `bind ${host.address}`,
        "protected-mode no",
        `unixsocket ${this.socket}`,
      ],
      `port ${port}`,
      // By default it is 10,000 more, which may be the port of a connection.
      ...bus === undefined ? [] : [`cluster-port ${bus}`],
      `dir ${this.directory}`,
      "daemonize no",
      'save ""',
      "appendonly yes",
      "appendfsync everysec",
      ...conf,
    ];
    writeFileSync(file, lines.join("\n") + "\n");
    this.#supervisor = new Supervisor(
      "supervise_redis.sh",
      [this.directory, host?.on([command]).join(" ") ?? command, file, libraries],
      cleanEnv(),
      (line) => {
        if (line.startsWith("exited")) this.#ended();
      },
    );
    this.#supervisor.gone.then(() => this.#ended());
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Starts the server. Resolves when it answers. */
  async start(): Promise<void> {
    this.#isRunning = true;
    if (this.socket !== undefined) rmSync(this.socket, { force: true });
    this.#exited = new Promise((resolve) => this.#onExit = resolve);
    this.#supervisor.send("start");
    const answers = async () => {
      if (!this.#isRunning) throw new Error(`the private Redis ended: ${this.output()}`);
      if (this.socket !== undefined) return existsSync(this.socket); // which it makes when it listens
      return await probe("127.0.0.1", this.port, "tcp", 1000) === "yes";
    };
    if (!await waitUntil(answers, 30_000)) {
      throw new Error(`the private Redis did not answer within 30 s: ${this.output()}`);
    }
  }

  /** Crashes the server. Its append-only file is kept for {@linkcode PrivateRedis.restart}. */
  async crash(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Starts the server again, and stops it first if it runs. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Stops the server's process with SIGSTOP: its sockets stay open and silent. */
  suspend(): void {
    process.kill(this.#pid, "SIGSTOP");
  }

  resume(): void {
    process.kill(this.#pid, "SIGCONT");
  }

  /** Lets this process end although the server runs: it ends then, too. */
  unref(): void {
    this.#supervisor.unref();
  }

  /** The end of the server's output. */
  output(): string {
    const file = join(this.directory, "server.out");
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    return text.split("\n").slice(-20).join("\n") + this.#supervisor.stderr;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#supervisor.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get #pid(): number {
    return Number(readFileSync(join(this.directory, "server.pid"), "utf8"));
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (!this.#isRunning) return;
    if (signal !== "SIGKILL") process.kill(this.#pid, "SIGCONT");
    process.kill(this.#pid, signal);
    await this.#exited;
  }

  #ended(): void {
    this.#isRunning = false;
    this.#onExit();
  }
}

/** Starts a private Redis with an append-only file, in less than a second. Disposal removes it completely. */
export async function startRedis(options: RedisServerOptions = {}): Promise<PrivateRedis> {
  const { conf = [], host, ports = freePorts } = options;
  const program = options.program ?? await findRedis();
  const isNode = conf.includes("cluster-enabled yes");
  for (let attempt = 1;; attempt++) {
    const [port, bus] = await ports(isNode ? 2 : 1);
    const server = new PrivateRedis(program, [port!, bus], conf, host);
    try {
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      // Another process may have taken a port meanwhile.
      if (attempt === 3 || !/already in use/i.test(`${error}`)) throw error;
    }
  }
}
