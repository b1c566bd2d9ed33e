import assert from "node:assert/strict";
import process from "node:process";
import { Channel, ChannelConnectionError, type ChannelError, ChannelTimeoutError } from "../mod.ts";
import { newStats } from "../src/transports/stats.ts";
import type { Offer } from "../src/transports/transport.ts";
import { Route } from "../src/transports/amqp/connection/frames.ts";
import type { PendingPublish } from "../src/transports/amqp/connection/pending_publish.ts";
import { ProcessRef } from "../src/transports/remote/process_ref.ts";
import { Outbox } from "../src/transports/amqp/puts/outbox.ts";
import type { Publisher } from "../src/transports/amqp/connection/publisher.ts";
import { connectionsRest, numbers, pause, rejection, within } from "./conformance/fixture.ts";

const refusal = () => new ChannelConnectionError("refused", { address: "amqp://stage" });

/** Puts into an outbox whose broker rejects every publish (basic.nack). */
async function refused(isFull: boolean, ms: number): Promise<{ tries: number; error?: Error }> {
  const outbox: Outbox = new Outbox(new Route("q"), newStats(), new ProcessRef(), 300, {
    outageError: refusal,
    lossError: refusal,
    checkQueue: () => Promise.resolve(undefined),
    refusalError: refusal,
    isFull: () => Promise.resolve(isFull),
  });
  const result: { tries: number; error?: ChannelError } = { tries: 0 };
  const publisher = {
    publish(publish: PendingPublish) {
      result.tries++;
      publish.wasSent = true;
      queueMicrotask(() => publish.observer.nacked(publish));
    },
    withdraw: () => false,
    replaceChannel() {},
  };
  outbox.open(publisher as unknown as Publisher);
  const offer: Offer = {
    message: { body: new Uint8Array(), contentType: "" },
    settled: false,
    taken() {},
    reject: (error) => result.error = error as ChannelError,
  };
  outbox.put(offer);
  await pause(ms);
  if (result.error === undefined) assert.equal(outbox.withdraw(offer), true, "the offer was sent");
  assert.equal(outbox.size, 0);
  return result;
}

for (const isSentBefore of [false, true]) {
  const outcome = isSentBefore
    ? "an unknown outcome if an earlier connection may have delivered it"
    : "a known outcome if it was not sent before";
  Deno.test(`amqp: a put that the broker refuses has ${outcome}`, () => {
    const refusals: [wasSent: boolean, id: string | undefined][] = [];
    const outbox = new Outbox(new Route("q"), newStats(), new ProcessRef(), 300, {
      outageError: refusal,
      lossError: refusal,
      checkQueue: () => Promise.resolve(undefined),
      refusalError: (_, wasSent, id) => {
        refusals.push([wasSent, id]);
        return refusal();
      },
      isFull: () => Promise.resolve(false),
    });
    const publisher = (answer: (publish: PendingPublish) => void) => ({
      publish(publish: PendingPublish) {
        publish.wasSent = true;
        answer(publish);
      },
      withdraw: () => false,
    } as unknown as Publisher);
    if (isSentBefore) outbox.open(publisher(() => {}));
    outbox.put({
      message: { body: new Uint8Array(), contentType: "", id: "the id" },
      settled: false,
      taken() {},
      reject() {},
    });
    if (isSentBefore) outbox.close();
    outbox.open(publisher((publish) => publish.observer.refused(publish, new Error("no"))));
    assert.deepEqual(refusals, [[isSentBefore, "the id"]]);
    assert.equal(outbox.size, 0);
  });
}

Deno.test("amqp: a put that the broker cannot store ends after retryTimeout, and a put to a full queue waits", async () => {
  const [broken, full] = await Promise.all([refused(false, 900), refused(true, 2000)]);
  assert.ok(broken.error instanceof ChannelConnectionError);
  assert.equal(full.error, undefined);
  assert.ok(full.tries > 5 && full.tries < 40, `${full.tries} tries in 2 s`);
});

Deno.test("amqp: a put to a full channel waits longer than retryTimeout without being sent repeatedly", async () => {
  const ch = new Channel<number>({
    capacity: 2,
    connection: process.env.BROKER!,
    retryTimeout: 200,
  });
  for (const n of numbers(2)) await ch.put(n);
  const puts = numbers(5, 2).map((n) => ch.put(n));
  const late = rejection(ch.put(9, { timeout: 1500 }), ChannelTimeoutError);
  await within(late);
  const values = [];
  for (let i = 0; i < 7; i++) values.push(await ch.get({ timeout: 20_000 }));
  assert.deepEqual(values, numbers(7));
  await within(Promise.all(puts));
  await ch[Symbol.asyncDispose]();
  await connectionsRest();
});
