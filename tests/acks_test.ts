// When acknowledgements of one AMQP channel are sent, and in how few frames.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { Acks } from "../src/transports/amqp/connection/acks.ts";

/** Returns acknowledgements, the frames that they have sent, and a function that ends the turn. */
function setUp() {
  const frames: string[] = [];
  const send = (what: string) => (tag: number, multiple: boolean) => {
    frames.push(`${what} ${multiple ? "up to " : ""}${tag}`);
    return Promise.resolve();
  };
  const nack = send("nack");
  const channel = {
    closed: false,
    basicAck: send("ack"),
    basicNack: (tag: number, _: boolean, multiple: boolean) => nack(tag, multiple),
  };
  const work: (() => void)[] = [];
  const acks = new Acks(channel as unknown as AMQPChannel, (each) => work.push(each));
  const endTurn = () => {
    for (const each of work.splice(0)) each();
    return frames.splice(0);
  };
  return { acks, frames, endTurn };
}

const waiting = { isWaiting: () => true };
const content = { isWaiting: () => false };

Deno.test("acks: acknowledgements are sent at the end of the turn if no more are expected", () => {
  const { acks, endTurn } = setUp();
  for (const tag of [1, 2, 3]) acks.accept(tag, 64, content);
  assert.deepEqual(endTurn(), ["ack up to 3"]);
  acks.accept(4, 64);
  assert.deepEqual(endTurn(), ["ack 4"]);
});

Deno.test("acks: acknowledgements wait for others while more are expected, but only for a short time", async () => {
  const { acks, frames, endTurn } = setUp();
  acks.accept(1, 64, waiting);
  assert.deepEqual(endTurn(), []);
  acks.accept(2, 64, waiting);
  assert.deepEqual(endTurn(), []);
  assert.equal(acks.isFlushed, false);
  while (frames.length === 0) await sleep(1);
  assert.deepEqual(frames.splice(0), ["ack up to 2"]);
  acks.accept(3, 64, waiting);
  assert.deepEqual(endTurn(), []);
  acks.accept(4, 64, content);
  assert.deepEqual(endTurn(), ["ack up to 4"]);
  acks.flush(); // also ends the timer
});

Deno.test("acks: neither a full batch of acknowledgements nor a release waits", () => {
  const { acks, frames, endTurn } = setUp();
  for (let tag = 1; tag <= 5; tag++) acks.accept(tag, 4, waiting);
  assert.deepEqual(frames.splice(0), ["ack up to 4"]);
  acks.release(6, "1");
  assert.deepEqual(endTurn(), ["ack 5", "nack 6"]);
  acks.accept(7, 4, waiting);
  assert.deepEqual(endTurn(), []);
  acks.flush();
  assert.deepEqual(frames, ["ack 7"]);
});
