// deno-lint-ignore-file no-console
//
// Requests and replies: clients ask, and any number of servers answer.
//
//   deno run -A examples/request_reply.ts serve          a server; start as many as you like
//   deno run -A examples/request_reply.ts 20 30 1.5     a client, in another terminal
//   bun request_reply.ts …
//   node request_reply.ts …                              Node 22.18 or newer
//
// Without arguments, the program starts a server and asks it. Servers and clients meet in a SQLite file of this machine,
// or with `--connection` on a RabbitMQ (`amqp://localhost`) or a Redis (`redis://localhost`), where each may run on
// another host.
//
// A request that no server has answered waits in the channel. If a server is killed, its open requests go to another
// server, now or when one is started, and the client notices nothing: its handler runs twice. If a client is killed, its
// requests are answered all the same, and the replies are dropped. SIGINT (Ctrl-C) and SIGTERM end a server in order: it
// takes no further requests and answers those that it has.

import { Channel, ChannelTimeoutError, serve } from "@channelts/channel";
import { fork } from "node:child_process";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { connection: { type: "string" } },
});
// Channels without the option `connection` use this variable, also in the server that `demonstrate` starts.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "sqlite:";

/** The name is all that servers and clients have in common. */
const requests = new Channel<number>("examples: fibonacci");

if (positionals[0] === "serve") await answer();
else if (positionals.length > 0) await ask(positionals.map(Number));
else await demonstrate();
await requests.close();

/** A server. It answers up to four requests at a time. */
async function answer(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  console.log(`server ${process.pid} answers`);
  await serve(requests, async (n, { signal }) => {
    // An error travels to the client, which gets a RangeError, too.
    if (!Number.isInteger(n) || n < 0) throw new RangeError(`${n} is not a natural number`);
    console.log(`server ${process.pid} works on ${n}`);
    // The signal is aborted when the client no longer waits, so that nobody works for it in vain.
    await delay(10 * n, undefined, { signal });
    return fibonacci(n);
  }, { concurrency: 4, signal: stop.signal });
  console.log(`server ${process.pid} has ended`);
}

/** A client. It asks for all numbers at once. */
async function ask(numbers: readonly number[]): Promise<void> {
  await Promise.all(numbers.map(async (n) => {
    try {
      console.log(`fibonacci(${n}) = ${await requests.request<bigint>(n, { timeout: 30_000 })}`);
    } catch (error) {
      if (error instanceof ChannelTimeoutError) console.log(`fibonacci(${n}): no server is there`);
      else if (error instanceof RangeError) console.log(`fibonacci(${n}): ${error.message}`);
      else throw error;
    }
  }));
}

async function demonstrate(): Promise<void> {
  const server = fork(process.argv[1]!, ["serve"]);
  const ended = new Promise((resolve) => server.once("exit", resolve));
  await ask([5, 50, 100, 1.5]);
  server.kill("SIGTERM");
  await ended;
}

function fibonacci(n: number): bigint {
  let [a, b] = [0n, 1n];
  for (; n > 0; n--) [a, b] = [b, a + b];
  return a;
}
