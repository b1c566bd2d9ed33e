// How a handle treats dead letters, tested below the channel.
import assert from "node:assert/strict";
import { Channel, ChannelError, Connection } from "../mod.ts";
import type { Link } from "../src/transports/transport.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { numbers, rejection, until, within } from "./conformance/fixture.ts";

/** A memory transport that counts open links. */
class CountingTransport extends MemoryTransport {
  links = 0;

  override async open(...args: Parameters<MemoryTransport["open"]>): Promise<Link> {
    const link = await super.open(...args);
    const close = link.close.bind(link);
    this.links++;
    link.close = () => {
      this.links--;
      return close();
    };
    return link;
  }
}

for (const how of ["closeAll", "delete"] as const) {
  Deno.test(`a channel that others end by ${how} leaves no handle on its dead letters`, async () => {
    const transport = new CountingTransport("memory:counting");
    const about = { name: "jobs", connection: transport, maxAttempts: 1 };
    const [ch, far] = [new Channel<number>(about), new Channel<number>(about)];
    await far.put(1);
    (await ch.receive()).release();
    const dead = ch.deadLetters;
    assert.equal(await within(dead.get()), 1);
    await dead.close();
    await far[how]();
    await until(() => transport.links === 0);
  });
}

Deno.test("a dead letter that cannot be put is reported to the logger", async () => {
  const reported: string[] = [];
  const logger = { error: (message: string) => void reported.push(message) };
  const connection = new Connection("memory:dead-letters", { logger });
  const about = { connection, maxAttempts: 1, retryTimeout: 0 };
  await using ch = new Channel<number>({ ...about, name: "jobs" });
  await using dead = new Channel<number>({ connection, name: "jobs.dead-letters" });
  await dead.put(0);
  await dead.closeAll({ drain: true });
  await ch.put(1);
  (await ch.receive()).release();
  const error = await rejection(ch.receive(), ChannelError);
  assert.deepEqual(reported, [`ChannelTS: ${error.message}`]);
  assert.match(reported[0]!, /jobs on memory:dead-letters.*jobs\.dead-letters/);
});

Deno.test("while many dead letters cannot be put, no more messages are received", async () => {
  const transport = new MemoryTransport("memory:many");
  const about = { connection: transport, maxAttempts: 1, retryTimeout: 2000 };
  const ch = new Channel<number>({ ...about, name: "jobs" });
  const dead = new Channel<number>({ connection: transport, name: "jobs.dead-letters" });
  await dead.put(0);
  await dead.closeAll({ drain: true });
  const first = new Channel<number>({ connection: transport, name: "jobs" });
  for (const n of numbers(100)) await ch.put(n);
  // Each value was tried before, so that it becomes a dead letter when it is received.
  const held = await Promise.all(numbers(100).map(() => first.receive()));
  for (const delivery of held) delivery.release();
  const receiving = ch.receive().catch((error) => error);
  await until(async () => await first.depth() <= 68);
  assert.equal(await first.depth(), 68);
  await within(ch.close());
  assert.equal((await receiving as Error).name, "ChannelClosedError");
  await until(async () => await first.depth() === 100);
  await Promise.all([first.delete(), dead.delete()]);
  await Promise.all([first.close(), dead.close()]);
});
