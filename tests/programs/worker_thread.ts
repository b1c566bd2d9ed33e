// A Worker of workers_test.ts: executes its orders on one channel, and reports the outcome.
import { parentPort } from "node:worker_threads";
import { Channel } from "../../mod.ts";

/** The orders of a Worker. */
export interface Orders {
  readonly connection: string;
  readonly name: string;
  readonly task: keyof typeof tasks;
}

/** A value with a channel for its square. */
export interface Question {
  readonly n: number;
  readonly replyTo: Channel<number>;
}

const port = (parentPort ?? globalThis) as unknown as Worker;

const tasks = {
  /** Reports each value, and the end. */
  async consume(channel: Channel<unknown>): Promise<void> {
    for await (const value of channel) port.postMessage(value);
    port.postMessage("the loop has ended");
  },

  async answer(channel: Channel<unknown>): Promise<void> {
    const { n, replyTo } = await channel.get() as Question;
    await replyTo.put(n * n);
    await replyTo.close();
  },

  /** Holds a job forever. */
  async hold(channel: Channel<unknown>): Promise<void> {
    await receive(channel);
    await new Promise(() => setInterval(() => {}, 1000));
  },

  /** Ends with two jobs, which it began one after the other. */
  async leave(channel: Channel<unknown>): Promise<void> {
    await receive(channel);
    await receive(channel);
  },

  /** Puts endlessly. */
  async flood(channel: Channel<unknown>): Promise<void> {
    await channel.put(0);
    port.postMessage("flooding");
    for (;;) await Promise.all(Array.from({ length: 50 }, (_, n) => channel.put(n)));
  },
};

async function receive(channel: Channel<unknown>): Promise<void> {
  const { value, redelivered } = await channel.receive();
  port.postMessage([value, redelivered]);
}

const { connection, name, task } = await new Promise<Orders>((resolve) => {
  port.addEventListener("message", ({ data }) => resolve(data), { once: true });
});
await tasks[task](new Channel<unknown>({ name, connection }));
if (parentPort === null) globalThis.close(); // on Node it ends because it waits for nothing
