// deno-lint-ignore-file no-console
//
// The library in one screen:
//
//   deno run examples/quickstart.ts                      tasks of one process, nothing installed
//   deno run --allow-net=HOST:PORT examples/quickstart.ts amqp://HOST:PORT      over RabbitMQ
//   deno run --allow-net=HOST:PORT examples/quickstart.ts redis://HOST:PORT     over Redis
//
// In a project: `node quickstart.ts` (22.18 or newer), or `bun quickstart.ts`.
//
// If the program is killed, nothing is left in memory. On a server, its channels without a name vanish 30 minutes later,
// and the one with a name stays until a program deletes it.

import { Channel, ChannelClosedError, ChannelTimeoutError } from "@channelts/channel";
import process from "node:process";

const connection = process.argv[2] ?? "memory:";

// An anonymous channel: nobody else knows its name. The `finally` deletes it on every runtime, and never rejects. On
// Deno, Bun and Node 24, `await using ch = …` does the same. If the process is killed, the channel ends 30 minutes after
// its last use.
const ch = new Channel<string>({ connection });
try {
  await ch.put("foo");
  console.log("got", await ch.get());

  // It is empty now. A get that times out takes no value.
  await ch.get({ timeout: 100 }).catch((error) => {
    if (!(error instanceof ChannelTimeoutError)) throw error;
    console.log("nothing arrived within 100 ms");
  });
} finally {
  await ch[Symbol.asyncDispose]();
}

// Channels travel inside any value: the consumer of the job answers on the channel that came with it.
interface Job {
  readonly n: number;
  readonly replyTo: Channel<number>;
}

// By name, it is the same channel for every process on this connection. A name may be any text.
const name = `quickstart ${crypto.randomUUID()}`;
const jobs = new Channel<Job>({ name, connection });

/** A worker: here a task, but the code would be the same in another process or on another host. */
async function work(): Promise<void> {
  const jobs = new Channel<Job>({ name, connection });
  for await (const { n, replyTo } of jobs) await replyTo.put(n * n);
  console.log("the worker's loop has ended: the channel is closed for everyone");
}

const worker = work();
const squares = new Channel<number>({ connection });
try {
  for (const n of [2, 3, 4]) {
    await jobs.put({ n, replyTo: squares });
    console.log(`${n} × ${n} =`, await squares.get());
  }

  // Ends every producer and consumer of the channel, on every host.
  await jobs.closeAll();
  await worker;
  await jobs.put({ n: 5, replyTo: squares }).catch((error) => {
    if (!(error instanceof ChannelClosedError)) throw error;
    console.log("no more jobs:", error.reason);
  });
} finally {
  await squares[Symbol.asyncDispose]();
  // A named channel lasts until it is deleted. A handle made after closeAll works.
  await new Channel({ name, connection }).delete();
}
