// The receipts that `put` sends to `get` past the programs between them in a pipeline. `get` listens on a socket of the
// file system and keeps each value on loan until `put` says that it has put what became of it. The protocol is lines with
// the number of values that have been put so far, in the order of the lines that `put` has read.

import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import type { Delivery } from "../../mod.ts";
import { CliError } from "./cli_error.ts";
import type { CommandOption } from "./command.ts";
import { isGranted } from "../shared/host.ts";

/** The option of `get` and `put`. */
export const receiptsOption: CommandOption = {
  flags: "--receipts <socket>",
  description: "keep values on loan until put has them, in get … | … | put …",
};

/** Milliseconds for which one side waits for the other to start. */
const startTimeout = 30_000;

/** How many values may be on loan without a receipt. */
const mostHeld = 1000;

type Held = Pick<Delivery, "accept" | "release">;

/**
 * The side of `get`.
 *
 * Invariants: the held deliveries are in the order in which their values were written. A delivery is accepted when its
 * receipt has come, and is released by `end`, or with its channel.
 */
export class ReceiptsReader {
  readonly #held: Held[] = [];
  readonly #server: Server;
  readonly #path: string;
  readonly #ended = new AbortController();
  #accepted = 0;
  #notify: (() => void) | undefined;
  #failure: Error | undefined;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** Listens on a socket, and resolves when `put` has connected. @throws {CliError} if it does not in time */
  static async listen(path: string, signal: AbortSignal): Promise<ReceiptsReader> {
    const server = createServer();
    try {
      await listening(server, path);
    } catch (cause) {
      throw new CliError(
        `get: the socket ${path} cannot be opened: ${(cause as Error).message}; ` +
          "name a new file in a directory of your own",
        { cause },
      );
    }
    const reader = new ReceiptsReader(server, path);
    if (process.platform !== "win32") chmodSync(path, 0o600);
    try {
      await reader.#connected(signal);
    } catch (error) {
      reader.close();
      throw error;
    }
    return reader;
  }

  #connected(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new CliError(
            `get: no program has connected to the socket ${this.#path} in 30 seconds; ` +
              "end the pipeline with channelts put --receipts and the same file",
          ),
        );
      }, startTimeout);
      const aborted = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      signal.addEventListener("abort", aborted);
      this.#server.once("connection", (socket: Socket) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", aborted);
        this.#server.close(); // no second program
        this.#read(socket);
        resolve();
      });
      if (signal.aborted) aborted();
    });
  }

  #read(socket: Socket): void {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop()!;
      for (const line of lines) this.#receipt(Number(line));
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      this.#ended.abort();
      this.#notify?.();
    });
  }

  #receipt(total: number): void {
    if (total > this.#accepted + this.#held.length) {
      this.#failure ??= new CliError(
        "get: put has read more lines than get has written; with --receipts the programs between " +
          "them must write one line for each line that they read",
      );
      this.#ended.abort();
    }
    for (; this.#accepted < total; this.#accepted++) this.#held.shift()?.accept();
    this.#notify?.();
  }

  /** Aborted when `put` has ended. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Keeps a delivery until its receipt. Resolves when more may be written. */
  async hold(delivery: Held): Promise<void> {
    this.#held.push(delivery);
    while (this.#held.length >= mostHeld && !this.ended.aborted) await this.#next();
  }

  #next(): Promise<void> {
    return new Promise((resolve) => this.#notify = resolve);
  }

  /**
   * Waits until every value has a receipt or `put` has ended, and releases what has none then.
   *
   * @param within the most milliseconds to wait
   * @throws {CliError} if a value has no receipt
   */
  async end(within: number): Promise<void> {
    const until = Date.now() + within;
    while (this.#held.length > 0 && !this.ended.aborted && Date.now() < until) {
      await Promise.race([this.#next(), pause(Math.min(until - Date.now(), 1000))]);
    }
    this.close();
    const left = this.#held.splice(0);
    for (const delivery of left) delivery.release();
    if (this.#failure !== undefined) throw this.#failure;
    if (left.length > 0) {
      throw new CliError(
        `get: ${left.length} of the values that were written have no receipt of put; ` +
          "they are back in the channel",
      );
    }
  }

  /** Removes the socket. */
  close(): void {
    this.#server.close();
    rmSync(this.#path, { force: true });
  }
}

/** Listens on a socket. The file of a process that was killed is replaced. */
async function listening(server: Server, path: string): Promise<void> {
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      // The socket is made at the call, and nobody else may ever connect to it.
      const umask = isGranted({ name: "sys", kind: "umask" }) ? process.umask(0o177) : undefined;
      try {
        server.listen(path, () => {
          server.off("error", reject);
          resolve();
        });
      } finally {
        if (umask !== undefined) process.umask(umask);
      }
    });
  try {
    await listen();
  } catch (error) {
    const isStale = (error as { code?: string }).code === "EADDRINUSE" && await refuses(path);
    if (!isStale) throw error;
    rmSync(path, { force: true });
    await listen();
  }
}

function refuses(path: string): Promise<boolean> {
  return connected(path).then((socket) => {
    socket.destroy();
    return false;
  }, (error) => error.code === "ECONNREFUSED");
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** The side of `put`. */
export class ReceiptsWriter {
  readonly #socket: Socket;
  /** Which of the lines after the first `#total` are put. */
  readonly #put = new Set<number>();
  #total = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {}); // get has ended, and has released what it held
    socket.resume();
  }

  /** Connects to `get`, which may start later. @throws {CliError} if it does not listen in time */
  static async connect(path: string, signal: AbortSignal): Promise<ReceiptsWriter> {
    const until = Date.now() + startTimeout;
    for (let wait = 10;; wait = Math.min(2 * wait, 200)) {
      signal.throwIfAborted();
      try {
        return new ReceiptsWriter(await connected(path));
      } catch (cause) {
        if (Date.now() > until) {
          throw new CliError(
            `put: the socket ${path} cannot be reached: ${(cause as Error).message}; ` +
              "begin the pipeline with channelts get --receipts and the same file",
            { cause },
          );
        }
      }
      await pause(wait);
    }
  }

  /** Says that the line with this index is put, or was empty. */
  done(line: number): void {
    this.#put.add(line);
    const before = this.#total;
    while (this.#put.delete(this.#total)) this.#total++;
    if (this.#total > before) this.#socket.write(`${this.#total}\n`);
  }

  /** Resolves when the receipts are sent. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#socket.end();
      if (this.#socket.destroyed) resolve();
    });
  }
}
