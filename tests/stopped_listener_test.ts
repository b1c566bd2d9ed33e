/** What RabbitMQ stores for a process that is stopped while others announce, and what that process gets later. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel } from "../mod.ts";
import { connectionsRest, numbers, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { noControl, onWindows } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalJson } from "./support/erlang.ts";
import { test } from "./support/test.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const control = controlFromEnv()!;

const mega = 2 ** 20;

/** Returns the bytes of waiting messages in all exclusive queues. */
async function waiting(): Promise<number> {
  return await evalJson<number>(
    control,
    "lists:sum([B || Q <- rabbit_amqqueue:list(), is_pid(amqqueue:get_exclusive_owner(Q)), " +
      "{message_bytes, B} <- rabbit_amqqueue:info(Q, [message_bytes])])",
  );
}

test(
  "a process that is stopped while others broadcast takes bounded memory of the broker, and " +
    "later notices the end of its channels",
  { skip: noControl || onWindows },
  async () => {
    const names = ["noise", "drained", "deleted"].map((each) => `test ${each} ${randomUUID()}`);
    const [noise, drained, deleted] = names.map((name) =>
      new Channel<unknown>({ name, connection: broker })
    ) as [Channel<unknown>, Channel<unknown>, Channel<unknown>];
    const flood = async (megabytes: number) => {
      const value = new Uint8Array(mega / 8);
      for (let i = 0; i < megabytes; i++) {
        await Promise.all(numbers(8).map(() => noise.broadcast(value)));
      }
    };
    try {
      await Promise.all([noise, drained, deleted].map((ch) => ch.depth()));
      await using child = startChild(new URL("programs/stopped_listener.ts", import.meta.url), {
        args: [broker, ...names],
      });
      assert.equal(await child.next(), "listens");
      child.kill("SIGSTOP");
      await flood(24); // what the connection itself buffers
      await drained.closeAll({ drain: true });
      await deleted.delete();
      await flood(40);
      const bytes = await waiting();
      assert.ok(bytes > mega, "the broadcasts wait nowhere");
      assert.ok(bytes <= 17 * mega, `${Math.round(bytes / mega)} MiB wait`);
      child.kill("SIGCONT");
      await noise.broadcast("last");
      const received = [];
      for (const _ of numbers(3)) received.push(await within(child.next() as Promise<string>));
      assert.deepEqual(received.sort(), ["delete", "drain", "last"]);
      assert.equal(await waiting(), 0);
    } finally {
      await Promise.all([noise.delete(), drained.delete()]);
      await Promise.all([noise, drained, deleted].map((ch) => ch.close()));
      await connectionsRest();
    }
  },
);
