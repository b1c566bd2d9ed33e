/** When an outbox sends its pending publishes: the policies alone, without a broker. */
import assert from "node:assert/strict";
import type { PendingPublish } from "../src/transports/amqp/connection/pending_publish.ts";
import { type SendPolicy, Unbounded } from "../src/transports/amqp/puts/send_policy.ts";
import { pause } from "./conformance/fixture.ts";

/** A queue of numbered publishes that records the calls of its policy. */
class FakeOutbox {
  readonly waiting: number[] = [];
  readonly inFlight: number[] = [];
  readonly refused: number[] = [];
  policy: SendPolicy = new Unbounded({
    isEmpty: () => this.waiting.length + this.inFlight.length === 0,
    inFlight: () => this.inFlight.length,
    send: (publish) => this.#send(publish as unknown as number),
    sendAll: () => this.waiting.slice().forEach((n) => this.#send(n)),
    next: () => this.waiting[0] as unknown as PendingPublish | undefined,
    refuseWaiting: () => this.refused.push(...this.waiting.splice(0)),
  });

  #send(n: number): void {
    this.waiting.splice(this.waiting.indexOf(n), 1);
    this.inFlight.push(n);
  }

  put(...numbers: number[]): void {
    for (const n of numbers) {
      this.waiting.push(n);
      this.policy.ready(n as unknown as PendingPublish);
    }
  }

  confirm(): void {
    this.inFlight.shift();
    this.policy.confirmed();
  }

  /** The broker rejects the oldest publish because its queue is full. */
  refuse(): void {
    this.waiting.unshift(this.inFlight.shift()!);
    this.policy = this.policy.bound();
    this.policy.onFull();
  }
}

Deno.test("send policy: a channel without a capacity gets each publish at once", () => {
  const outbox = new FakeOutbox();
  outbox.put(1, 2, 3);
  assert.deepEqual(outbox.inFlight, [1, 2, 3]);
  assert.equal(outbox.policy.isBounded, false);
  outbox.waiting.push(4, 5); // added while no connection was open
  outbox.policy.open();
  assert.deepEqual(outbox.inFlight, [1, 2, 3, 4, 5]);
});

Deno.test("send policy: a channel with a capacity gets one publish at a time, in order", () => {
  const outbox = new FakeOutbox();
  outbox.policy = outbox.policy.bound();
  outbox.put(1, 2, 3);
  for (const n of [1, 2, 3]) {
    assert.deepEqual(outbox.inFlight, [n]);
    outbox.confirm();
  }
  assert.deepEqual(outbox.inFlight, []);
  assert.equal(outbox.policy.isFull, false);
});

Deno.test("send policy: after a rejection by a full queue, nothing is sent until a pause has elapsed or there is room", async () => {
  const outbox = new FakeOutbox();
  outbox.put(1, 2);
  outbox.refuse();
  assert.ok(outbox.policy.isFull && outbox.policy.isBounded);
  outbox.put(3);
  assert.deepEqual(outbox.inFlight, [2]); // sent before the channel was known to be bounded
  outbox.confirm();
  assert.deepEqual(outbox.inFlight, [1]);
  assert.equal(outbox.policy.isFull, false);
  outbox.refuse();
  outbox.put(4);
  assert.deepEqual(outbox.inFlight, []);
  outbox.policy.onRoom();
  assert.deepEqual(outbox.inFlight, [1]);
  outbox.refuse();
  await pause(100); // the second rejection in a row: at most 8 ms
  assert.deepEqual(outbox.inFlight, [1]);
  outbox.refuse();
  outbox.policy.reset();
});

Deno.test("send policy: when a channel is closed, the puts that wait for room are rejected", () => {
  const outbox = new FakeOutbox();
  outbox.policy = outbox.policy.bound();
  outbox.put(1, 2);
  outbox.policy = outbox.policy.drain();
  assert.deepEqual(outbox.refused, []); // it is not known that there is no room
  outbox.confirm();
  assert.deepEqual(outbox.inFlight, [2]);
  outbox.waiting.push(3);
  outbox.refuse();
  assert.deepEqual(outbox.refused, [2, 3]);
  const full = new FakeOutbox();
  full.put(1);
  full.refuse();
  full.policy = full.policy.drain().drain();
  assert.deepEqual(full.refused, [1]);
  full.policy.reset();
});

Deno.test("send policy: a full channel for which nothing is pending any more may have room", () => {
  const outbox = new FakeOutbox();
  outbox.policy = outbox.policy.bound();
  outbox.put(1);
  outbox.refuse();
  assert.equal(outbox.policy.isFull, true);
  outbox.waiting.length = 0; // it did not wait for room
  outbox.policy.onFull();
  assert.equal(outbox.policy.isFull, false);
});
