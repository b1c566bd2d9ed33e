import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Ports that systems do not give to outgoing connections: Linux gives those from 32768 on, others those from 49152 on.
 * If a broker that is restarted had such a port, a connection of another test could take it meanwhile; and a client that
 * tries to reconnect could be given the broker's port as its own, and be connected to itself.
 */
const PORTS = { from: 20_000, count: 12_000 };

/**
 * Finds TCP ports of 127.0.0.1 that are free now, all different. In a test run, no other test is given the same ones, also
 * while a server with such a port is down. A program that has nothing to do with the run may take one.
 */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = PORTS.from + Math.floor(Math.random() * PORTS.count);
    if (!found.has(port) && await isFree(port) && reserve(port)) found.add(port);
  }
  return [...found];
}

/** Reserves a port for this process among those of the run, and reports whether nobody had it. */
function reserve(port: number): boolean {
  const folder = process.env.TEST_FOLDER;
  if (folder === undefined) return true;
  const ports = join(folder, "ports");
  mkdirSync(ports, { recursive: true });
  try {
    writeFileSync(join(ports, String(port)), "", { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(false);
      else reject(error);
    });
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** The result of {@linkcode probe}: silence means a listener that did not send the expected answer. */
export type Answer = "yes" | "silence" | Error;

const AMQP_HEADER = new Uint8Array([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);

/**
 * Checks whether something listens at an address: an AMQP 0-9-1 broker that sends `connection.start`, or, for `"tcp"`,
 * anything that accepts a connection. Never rejects.
 *
 * @param timeout milliseconds
 */
export async function probe(
  host: string,
  port: number,
  kind: "amqp" | "tcp",
  timeout: number,
): Promise<Answer> {
  const answer = await greet(host, port, kind, timeout);
  return answer instanceof Uint8Array ? "yes" : answer;
}

/** The version that an AMQP 0-9-1 broker reports, for example `3.10.8`; undefined if it reports none. */
export async function brokerVersion(host: string, port: number): Promise<string | undefined> {
  const start = await greet(host, port, "amqp", 5000);
  if (!(start instanceof Uint8Array)) return undefined;
  // The property is its name, "S" for a string, a length of four bytes, and the text.
  return /versionS.{4}(\d+(?:\.\d+)*)/s.exec(new TextDecoder("latin1").decode(start))?.[1];
}

/** Returns the first bytes that a listener sends; for `"tcp"`, an empty array. */
function greet(
  host: string,
  port: number,
  kind: "amqp" | "tcp",
  timeout: number,
): Promise<Uint8Array | Exclude<Answer, "yes">> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let connected = false;
    const finish = (answer: Uint8Array | Exclude<Answer, "yes">) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(
      () => finish(connected ? "silence" : new Error(`no connection within ${timeout} ms`)),
      timeout,
    );
    socket.once("error", finish);
    socket.once("close", () => finish("silence"));
    socket.once("connect", () => {
      connected = true;
      if (kind === "tcp") finish(new Uint8Array());
      else socket.write(AMQP_HEADER);
    });
    // A method frame (1) on channel 0 is connection.start; a broker of another protocol version sends "AMQP…".
    socket.once("data", (data: Uint8Array) => finish(data[0] === 1 ? data : "silence"));
  });
}

/**
 * Calls `check` every 100 ms until it returns true.
 *
 * @param timeout milliseconds; false is returned after it
 * @throws the signal's reason, and errors of `check`
 */
export async function waitUntil(
  check: () => Promise<boolean> | boolean,
  timeout: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = Date.now() + timeout;
  for (;;) {
    signal?.throwIfAborted();
    if (await check()) return true;
    if (Date.now() > deadline) return false;
    await sleep(100);
  }
}
