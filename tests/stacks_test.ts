// The stack of a later rejection has the line of the caller that awaits the operation.

import assert from "node:assert/strict";
import process from "node:process";
import { Channel, ChannelError, select, serve } from "../mod.ts";
import { within } from "./conformance/fixture.ts";
import { freePorts } from "./support/net.ts";
import { test } from "./support/test.ts";

const skip: string | false = process.versions.bun !== undefined &&
  "JavaScriptCore does not follow promises to their awaiters";

const here = new Channel<number>({ name: "stacks", connection: "memory:stacks" });
const served = new Channel<number>({ name: "served", connection: "memory:stacks" });
const asked = new Channel<number>({ name: "asked", connection: "memory:stacks" });

for (
  const [name, operate] of Object.entries<(away: Channel<number>) => Promise<unknown>>({
    "a get that times out": () => here.get({ timeout: 5 }),
    "a receive that times out": () => here.receive({ timeout: 5 }),
    "a select that times out": () => select([here], { timeout: 5 }),
    "a request that times out": () => asked.request(1, { timeout: 5 }),
    "a request whose handler throws": async () => {
      const stop = new AbortController();
      const fail = () => {
        throw new RangeError("out of stock", { cause: new TypeError("no such article") });
      };
      const serving = serve(served, fail, { signal: stop.signal });
      try {
        await served.request(1);
      } finally {
        stop.abort();
        await serving;
      }
    },
    "a get whose handle is closed": () => {
      const closing = here.dup();
      const got = closing.get();
      closing.close();
      return got;
    },
    "a loop of a channel that is away": async (away) => {
      for await (const _ of away);
    },
    "a put that cannot connect": (away) => away.put(1),
    "a request that cannot connect": (away) => away.request(1),
    "a tryPut that cannot connect": (away) => away.tryPut(1),
    "a tryGet that cannot connect": (away) => away.tryGet(),
    "a depth that cannot connect": (away) => away.depth(),
    "a closeAll that cannot connect": (away) => away.closeAll(),
    "a delete that cannot connect": (away) => away.delete(),
    "a broadcast that cannot connect": (away) => away.broadcast(1),
  })
) {
  test(`the stack of ${name} has the caller's line`, { skip }, async () => {
    const connection = `amqp://127.0.0.1:${(await freePorts(1))[0]}`;
    const away = new Channel<number>({ name: "away", connection, retryTimeout: 50 });
    async function theCaller(): Promise<void> {
      await operate(away);
    }
    const error = await within(theCaller().then(() => undefined, (error) => error));
    assert.ok(error instanceof ChannelError || error instanceof RangeError, String(error));
    assert.match(error.stack!, /theCaller.*stacks_test\.ts:\d+/);
    await away.close();
  });
}
