import fc from "fast-check";
import assert from "node:assert/strict";
import {
  Channel,
  ChannelDecodeError,
  ChannelReferenceError,
  type Message,
  serve,
} from "../../mod.ts";
import { concat } from "../codec/hex.ts";
import { bodies } from "../support/items.ts";
import { type Fixture, random, type Suite, within } from "./fixture.ts";

/** How many messages each run puts, and how many runs there are. */
const batch = 30;
const runs = 4;

/** Messages, announcements and replies from anyone who may write to the broker. */
export function hostileTests({ test }: Suite): void {
  test("a get of any message resolves or rejects with one of two errors, and the next get works", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const inner = fixture.channel();
    await using raw = await fixture.setup.raw(ch.name);
    await property(bodies([inner.name]), async (messages) => {
      await Promise.all(messages.map((message) => raw.put(message)));
      for (const _ of messages) own(fixture, await within(ch.get()).catch(isUnreadable));
      await ch.put("good");
      assert.equal(await within(ch.get()), "good");
      await Promise.all(messages.map((message) => raw.put(message)));
      for (const _ of messages) {
        const delivery = await within(ch.receive()).catch(isUnreadable);
        if (typeof delivery === "object") delivery.accept();
      }
    });
  });

  test("a listener and its channel survive any announcement", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const other = fixture.channel<unknown>(ch.name, 1);
    await ch.depth();
    await using raw = await fixture.setup.raw(ch.name);
    const listener = ch.broadcasts();
    const also = ch.broadcasts({ buffer: 1 });
    await Promise.all([listener.ready, also.ready]);
    await property(bodies([ch.name]), async (messages) => {
      for (const { body, contentType } of messages) {
        if (new TextDecoder().decode(body) === `"close"` || body.length === 0) continue;
        await raw.announce(body, contentType);
        await raw.announce(concat("d9d9f7", body));
      }
      await other.broadcast("good");
      for (;;) {
        const { value, done } = await within(listener.next());
        assert.equal(done, false);
        if (value === "good") break;
        own(fixture, value);
      }
      assert.equal(ch.closed, false);
    });
    await listener.return();
    await also.return();
  });

  test("serve survives any request", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const inner = fixture.anonymous();
    await inner.depth();
    await using raw = await fixture.setup.raw(ch.name);
    const stop = new AbortController();
    const serving = serve(ch, (value) => value, { signal: stop.signal, concurrency: 5 });
    await property(bodies([inner.name]), async (messages) => {
      await Promise.all(messages.map((message) => raw.put(message)));
      assert.equal(await within(ch.request("good")), "good");
    });
    stop.abort();
    await within(serving);
  });

  test("a requester survives any reply and any announcement", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const request = ch.request("asked");
    const { id, reply_to } = await within(ch.get()) as { id: number; reply_to: Channel };
    fixture.own(reply_to);
    await reply_to.depth();
    await using raw = await fixture.setup.raw(reply_to.name);
    await property(bodies([ch.name]), async (messages) => {
      const harmless = messages.filter(({ body }) => !answers(body, id));
      await Promise.all(harmless.map((message) => raw.put(message)));
      for (const { body, contentType } of harmless) {
        if (body.length > 0) await raw.announce(body, contentType);
      }
    });
    await reply_to.put({ id, value: "good" });
    assert.equal(await within(request), "good");
  });
}

/** Reports whether a message happens to be a reply to the request with this id. */
function answers(body: Uint8Array, id: number): boolean {
  const text = new TextDecoder().decode(body);
  return text.includes(`"id":${id}`) || text.includes(`bid${String.fromCharCode(id)}`) ||
    text === `"close"`;
}

/** Checks random batches of messages. An error names the seed that repeats the batch. */
async function property(
  message: fc.Arbitrary<Message>,
  check: (messages: Message[]) => Promise<void>,
): Promise<void> {
  for (let run = 0; run < runs; run++) {
    const seed = random(2 ** 31);
    try {
      await check(fc.sample(message, { numRuns: batch, seed }));
    } catch (cause) {
      throw new Error(`with the messages of seed ${seed}: ${cause}`, { cause });
    }
  }
}

function isUnreadable(error: unknown): undefined {
  if (error instanceof ChannelDecodeError || error instanceof ChannelReferenceError) return;
  throw error;
}

/** Disposes of the channels in a value after the test. */
function own(fixture: Fixture, value: unknown, seen: Set<unknown> = new Set()): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (value instanceof Channel) fixture.own(value);
  else for (const part of Object.values(value)) own(fixture, part, seen);
}
