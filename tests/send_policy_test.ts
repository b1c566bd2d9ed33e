/** When an outbox sends its pending publishes: the policies alone, without a broker. */
import assert from "node:assert/strict";
import type { PendingPublish } from "../src/transports/amqp/connection/pending_publish.ts";
import { type SendPolicy, Unbounded } from "../src/transports/amqp/puts/send_policy.ts";
import { pause } from "./conformance/fixture.ts";

/** A queue of numbered publishes, and what its policy has done with them. */
class Scene {
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

  /** The broker refuses the oldest publish because its queue is full. */
  refuse(): void {
    this.waiting.unshift(this.inFlight.shift()!);
    this.policy = this.policy.bound();
    this.policy.onFull();
  }
}

Deno.test("send policy: a channel without a capacity gets each publish at once", () => {
  const scene = new Scene();
  scene.put(1, 2, 3);
  assert.deepEqual(scene.inFlight, [1, 2, 3]);
  assert.equal(scene.policy.isBounded, false);
  scene.waiting.push(4, 5); // added while no connection was open
  scene.policy.open();
  assert.deepEqual(scene.inFlight, [1, 2, 3, 4, 5]);
});

Deno.test("send policy: a channel with a capacity gets one publish at a time, in order", () => {
  const scene = new Scene();
  scene.policy = scene.policy.bound();
  scene.put(1, 2, 3);
  for (const n of [1, 2, 3]) {
    assert.deepEqual(scene.inFlight, [n]);
    scene.confirm();
  }
  assert.deepEqual(scene.inFlight, []);
  assert.equal(scene.policy.isFull, false);
});

Deno.test("send policy: after a full queue's refusal nothing is sent before a pause, or before room", async () => {
  const scene = new Scene();
  scene.put(1, 2);
  scene.refuse();
  assert.ok(scene.policy.isFull && scene.policy.isBounded);
  scene.put(3);
  assert.deepEqual(scene.inFlight, [2]); // it was sent before the channel was known to be bounded
  scene.confirm();
  assert.deepEqual(scene.inFlight, [1]);
  assert.equal(scene.policy.isFull, false);
  scene.refuse();
  scene.put(4);
  assert.deepEqual(scene.inFlight, []);
  scene.policy.onRoom();
  assert.deepEqual(scene.inFlight, [1]);
  scene.refuse();
  await pause(100); // the second refusal in a row: 8 ms and less
  assert.deepEqual(scene.inFlight, [1]);
  scene.refuse();
  scene.policy.reset();
});

Deno.test("send policy: of a closed channel, the puts that wait for room are rejected", () => {
  const scene = new Scene();
  scene.policy = scene.policy.bound();
  scene.put(1, 2);
  scene.policy = scene.policy.drain();
  assert.deepEqual(scene.refused, []); // it is not known that there is no room
  scene.confirm();
  assert.deepEqual(scene.inFlight, [2]);
  scene.waiting.push(3);
  scene.refuse();
  assert.deepEqual(scene.refused, [2, 3]);
  const full = new Scene();
  full.put(1);
  full.refuse();
  full.policy = full.policy.drain().drain();
  assert.deepEqual(full.refused, [1]);
  full.policy.reset();
});
