// What the end of a home means for its own channels.
import assert from "node:assert/strict";
import { Channel, ChannelClosedError, ChannelConnectionError } from "../mod.ts";
import { Home } from "../src/home/home.ts";
import { rejection, within } from "./conformance/fixture.ts";

Deno.test("home: its end closes its own channels: what was put is there, what waits ends, and what was on loan returns", async () => {
  const home = new Home({ connection: "memory:closing" });
  const jobs = new Channel<number>({ name: "jobs", connection: home });
  const empty = new Channel<number>({ name: "empty", connection: home });
  for (const n of [1, 2]) await jobs.put(n);
  const delivery = await jobs.receive();
  await empty.depth(); // it is attached
  const looping = Array.fromAsync(empty);
  const getting = empty.get();
  const putting = jobs.put(3);
  const outside = new Channel<number>({ name: "jobs", connection: "memory:closing" });
  const rejected = rejection(getting, ChannelClosedError);
  await within(home.close());
  await rejected;
  assert.deepEqual(await within(looping), []);
  await putting;
  delivery.accept(); // too late
  await rejection(jobs.put(4), ChannelClosedError);
  await rejection(new Channel({ name: "jobs", connection: home }).put(4), ChannelConnectionError);
  for (const n of [1, 2, 3]) assert.equal(await outside.get({ timeout: 0 }), n);
  await Promise.all([jobs, empty, outside].map((channel) => channel.close()));
});
