// Connections that create, leave and delete one channel at the same time. The broker's metadata stays consistent: each
// operation ends as expected, no connection is lost, and the name can be used afterwards.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, ChannelClosedError, type ChannelOptions, Connection } from "../mod.ts";
import { connectionsRest, numbers, pause, random, within } from "./conformance/fixture.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** How often each connection opens and leaves the channel. */
const rounds = Number(process.env.TOPOLOGY_RACES ?? 40);

/** What a connection does with the open channel. */
const ends: Record<string, (ch: Channel<number>, n: number) => Promise<void>> = {
  "close": async (ch) => {
    await ch.depth();
    await ch.close();
  },
  "close after a put": async (ch) => {
    await ch.put(1);
    await ch.tryGet();
    await ch.close();
  },
  "delete": async (ch, n) => {
    await ch.put(1).catch(ignoreClosed);
    await (n === 0 ? ch.delete() : ch.tryGet().catch(ignoreClosed));
    await ch.close();
  },
  "drain and delete": async (ch, n) => {
    await ch.put(1).catch(ignoreClosed);
    if (n === 1) await ch.closeAll({ drain: true }).catch(ignoreClosed);
    else if (n === 0) await ch.delete();
    await ch.close();
  },
};

/**
 * RabbitMQ 4 ends a connection if its message is to go to a queue that another connection deletes at that moment. The
 * operations continue on the next connection.
 */
const deliveryRace = /RESOURCE_ERROR - failed to deliver message: \{not_found,/;

function ignoreClosed(error: unknown): void {
  assert.ok(error instanceof ChannelClosedError, `${error}`);
}

for (const [kind, about] of Object.entries({ "": {}, "that expires ": { expires: 60_000 } })) {
  for (const [what, end] of Object.entries(ends)) {
    Deno.test(`amqp: connections that open a channel ${kind}and ${what} do not break its name`, async () => {
      const losses: string[] = [];
      const connections = numbers(3).map(() =>
        new Connection(broker, { ondisconnect: ({ message }) => losses.push(message) })
      );
      const handles = connections.map((connection) => new Channel({ connection }));
      await Promise.all(handles.map((handle) => handle.depth())); // keeps the connections open
      const options: ChannelOptions = { name: `race ${randomUUID()}`, ...about };
      await within(
        Promise.all(connections.map(async (connection, n) => {
          for (const _ of numbers(rounds)) {
            await end(new Channel<number>({ ...options, connection }), n);
            if (random(2) === 0) await pause(random(4));
          }
        })),
        60_000,
      );
      const last = new Channel<number>({ ...options, connection: connections[0]! });
      await last.delete();
      const again = new Channel<number>({ ...options, connection: connections[1]! });
      await again.put(7);
      assert.equal(await again.get(), 7);
      await again.delete();
      assert.deepEqual(losses.filter((text) => !deliveryRace.test(text)), []);
      await Promise.all([...handles.map((handle) => handle.delete())]);
      await Promise.all([...handles, last, again].map((ch) => ch.close()));
      await connectionsRest();
    });
  }
}
