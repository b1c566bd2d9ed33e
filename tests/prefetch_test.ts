// How many messages a process prefetches: the policy alone, without a broker.
import assert from "node:assert/strict";
import { Prefetch } from "../src/transports/amqp/gets/prefetch.ts";

const near = { roundTrip: 0.2 };
const far = { roundTrip: 100 };

/** Serves claims that do not count attempts, one every `interval` ms, and returns the time after the last one. */
function serve(prefetch: Prefetch, count: number, interval: number, start = 0): number {
  let now = start;
  for (let i = 0; i < count; i++) prefetch.served(now += interval, 0, false);
  return now;
}

/** Opens a window that claimants fill with loans. */
function fill(prefetch: Prefetch, size: number): void {
  prefetch.opened(size);
  prefetch.window.held = size;
}

Deno.test("prefetch: a slow process has a window of one message", () => {
  const prefetch = new Prefetch(near, false);
  assert.equal(prefetch.sizeFor(1, false), 0); // it asks first
  prefetch.opened(1);
  serve(prefetch, 100, 4); // four messages take longer than one may lie here
  assert.equal(prefetch.sizeFor(1, false), 1);
});

Deno.test("prefetch: the window grows to what the process gets within the time that a message may lie here", () => {
  const prefetch = new Prefetch(near, false);
  let now = serve(prefetch, 6, 0.2);
  const sizes = [];
  for (let i = 0; i < 5; i++) {
    const size = prefetch.sizeFor(0, false);
    sizes.push(size);
    prefetch.opened(size);
    now = serve(prefetch, 2 * size, 0.2, now);
  }
  assert.deepEqual(sizes, [4, 16, 64, 64, 64]); // 256 messages would take 51 ms
});

Deno.test("prefetch: the window has a limit, and ends with its consumers", () => {
  const prefetch = new Prefetch(near, false);
  let now = 0;
  for (let i = 0; i < 8; i++) {
    now = serve(prefetch, 600, 0.001, now);
    prefetch.opened(prefetch.sizeFor(0, false));
  }
  assert.equal(prefetch.window.size, 256);
  prefetch.closed();
  assert.deepEqual([prefetch.window.size, prefetch.sizeFor(1, false)], [0, 0]);
});

Deno.test("prefetch: a claim that counts attempts ends the consumers", () => {
  const prefetch = new Prefetch(near, false);
  assert.equal(prefetch.served(1, 0, true), false); // there is none
  prefetch.opened(4);
  assert.equal(prefetch.served(2, 0, true), true);
  serve(prefetch, 10, 0.01, 2);
  assert.equal(prefetch.sizeFor(0, false), 0);
});

Deno.test("prefetch: a channel with a capacity never has more than one message here", () => {
  const prefetch = new Prefetch(far, true);
  prefetch.opened(1);
  serve(prefetch, 100, 0.01);
  prefetch.found(5, false);
  assert.equal(prefetch.sizeFor(5, false), 1);
});

Deno.test("prefetch: claims behind a window of held loans ask for each message if the broker is near", () => {
  const prefetch = new Prefetch(near, false);
  fill(prefetch, 4);
  assert.equal(prefetch.sizeFor(0, false), 4);
  assert.equal(prefetch.sizeFor(1, false), 0);
  prefetch.window.held--;
  assert.equal(prefetch.sizeFor(1, false), 4);
});

Deno.test("prefetch: claims behind a window of held loans widen it if the broker is far", () => {
  const prefetch = new Prefetch(far, false);
  prefetch.found(3, false);
  assert.equal(prefetch.sizeFor(3, false), 3);
  fill(prefetch, 4);
  assert.deepEqual([prefetch.sizeFor(1, false), prefetch.sizeFor(30, false)], [8, 34]);
  assert.equal(prefetch.sizeFor(1, true), 0); // a claim that counts attempts
  fill(prefetch, 2 ** 15);
  assert.equal(prefetch.sizeFor(1, false), 0); // a prefetch has 16 bits
});

Deno.test("prefetch: the time of a long round trip does not count against the pace", () => {
  const [counting, ignoring] = [near, far].map((connection) => new Prefetch(connection, false));
  for (const prefetch of [counting!, ignoring!]) {
    let now = 0;
    prefetch.opened(1);
    for (let i = 0; i < 6; i++) prefetch.served(now += 100.1, 100, false);
  }
  assert.equal(counting!.sizeFor(0, false), 1);
  assert.equal(ignoring!.sizeFor(0, false), 4);
});
