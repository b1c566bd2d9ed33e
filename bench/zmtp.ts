/**
 * Measures frames from one process to another over the pipe of `zmq:`, without the protocol of homes, and messages of
 * pyzmq between two processes, in one run. Frames are only received.
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { generateKeys } from "../home.ts";
import { highWater } from "../src/transports/home/pipes/pipe.ts";
import { startChild } from "../tests/support/child.ts";
import { pyzmq, withoutPyzmq } from "../tests/support/pyzmq.ts";
import { dialed } from "../tests/support/zmtp.ts";
import { compare, type Contender } from "./compare.ts";
import { heading, report } from "./output.ts";

const home = generateKeys();
const peer = generateKeys();
const hex = (key: string) => Buffer.from(key, "base64url").toString("hex");

/** Frames of one turn of the event loop. */
const burst = 500;

/** Two processes of pyzmq. */
class Pyzmq {
  readonly #ends: (() => void)[] = [];
  #order!: (line: string) => Promise<string>;

  static async start(mechanism: "NULL" | "CURVE", pattern: "PUSH" | "DEALER"): Promise<Pyzmq> {
    const made = new Pyzmq();
    const keys = mechanism === "CURVE" ? [home.publicKey, home.secretKey].map(hex) : [];
    const receiver = made.#run(["receive", mechanism, pattern, ...keys]);
    const ports = (await receiver.line()).split(" ");
    const own = mechanism === "CURVE"
      ? [home.publicKey, peer.publicKey, peer.secretKey].map(hex)
      : [];
    const sender = made.#run(["send", mechanism, pattern, ...ports, ...own]);
    made.#order = (line) => {
      sender.write(`${line}\n`);
      return sender.line();
    };
    return made;
  }

  contender(label: string, size: number): Contender {
    return {
      label,
      run: async (count) => void await this.#order(`${count} ${size}`),
    };
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #run(args: readonly string[]): { line(): Promise<string>; write(text: string): void } {
    const file = fileURLToPath(new URL("zmtp_peer.py", import.meta.url));
    const { python, env } = pyzmq!;
    const child = spawn(python, ["-u", file, ...args], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#ends.push(() => child.kill());
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return {
      line: async () => (await lines.next()).value as string,
      write: (text) => void child.stdin.write(text),
    };
  }
}

/** Returns the pipe of a URI as a contender, and closes it. */
async function ours(uri: string, label: string, size: number) {
  const end = await dialed(uri);
  const header = "PUT 1 17 {}";
  const body = new Uint8Array(size - header.length - 1).fill(120);
  let wake = () => {};
  end.drained = () => wake();
  const run = async (count: number) => {
    const done = new Promise((resolve) => end.onFrame = resolve);
    for (let sent = 0; sent < count;) {
      for (let i = 0; i < burst && sent < count; i++, sent++) end.pipe.send(header, body);
      if (end.pipe.buffered > highWater) await new Promise<void>((resolve) => wake = resolve);
      else await new Promise<void>((resolve) => setImmediate(resolve));
    }
    end.pipe.send("END");
    await done;
  };
  return { contender: { label, run } satisfies Contender, close: () => end.pipe.close() };
}

heading("zmtp");
if (withoutPyzmq) throw new Error(withoutPyzmq);
await using receiver = startChild(new URL("zmtp_receiver.ts", import.meta.url), {
  args: [home.publicKey, home.secretKey],
});
const [open, closed] = await receiver.next() as [string, string];
const [push, dealer, curve] = [
  await Pyzmq.start("NULL", "PUSH"),
  await Pyzmq.start("NULL", "DEALER"),
  await Pyzmq.start("CURVE", "DEALER"),
];
for (const [size, count] of [[64, 100_000], [16_384, 5000]] as const) {
  const plain = await ours(open, "zmq:", size);
  const title = `frames of ${size} bytes`;
  report(
    title,
    await compare([
      dealer.contender("pyzmq, DEALER to ROUTER", size),
      push.contender("pyzmq, PUSH to PULL", size),
      plain.contender,
    ], { title, count }),
  );
  plain.close();
  const sealed = await ours(closed, "zmq: with CURVE", size);
  report(
    `${title}, encrypted`,
    await compare([
      curve.contender("pyzmq with CURVE", size),
      sealed.contender,
    ], { title, count: count / 4 }),
  );
  sealed.close();
}
for (const each of [push, dealer, curve]) each.close();
