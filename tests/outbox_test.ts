import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import {
  Channel,
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelError,
  type ChannelOptions,
  ChannelTimeoutError,
  Connection,
  select,
  trySelect,
} from "../mod.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  pause,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { startPrivateBroker } from "./support/broker.ts";
import { startChild } from "./support/child.ts";
import { decidedOnFirstBroker } from "./support/conditions.ts";
import { type Gateway, startGateway } from "./support/gateway.ts";
import { test } from "./support/test.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/**
 * Calls `use` with a channel through a gateway and a second handle on it that is directly connected to the broker.
 * `lost` resolves when the channel's connection is lost.
 */
async function withGateway<T>(
  options: ChannelOptions,
  use: (ch: Channel<T>, gateway: Gateway, direct: Channel<T>, lost: Promise<void>) => Promise<void>,
): Promise<void> {
  const name = `test ${randomUUID()}`;
  await using gateway = await startGateway(broker);
  const direct = new Channel<T>({ ...options, name, connection: broker, expires: 60_000 });
  const connection = new Connection(gateway.uri);
  const lost = new Promise<void>((resolve) => connection.ondisconnect = () => resolve());
  const ch = new Channel<T>({ ...options, name, connection });
  try {
    await direct.depth();
    await ch.depth();
    await use(ch, gateway, direct, lost);
  } finally {
    await Promise.all([ch.close(), direct.delete()]);
    await direct.close();
    await connectionsRest();
  }
}

/** Waits until nothing was published for a moment. */
async function quiet(gateway: Gateway): Promise<void> {
  for (let before = -1; before !== gateway.bytes;) {
    before = gateway.bytes;
    await pause(100);
  }
}

/** Returns the error of a promise, of any type. */
function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => "it resolved", (reason) => reason);
}

/** Asserts that the error of a put says whether its value may have arrived. */
function assertOutcome(error: ChannelError, value: unknown, isKnown: boolean): void {
  assert.deepEqual(error.value, value);
  assert.match(error.message, /[^.]$/);
  if (isKnown) {
    assert.equal(error.messageId, undefined);
    assert.doesNotMatch(error.message, /unknown outcome/);
  } else {
    assert.match(error.messageId!, /^cts\.[!-~]+$/);
    assert.match(error.message, /unknown outcome/);
    assert.ok(!Object.keys(error).includes("messageId"));
  }
}

Deno.test("outbox: unconfirmed puts are limited in number, and all arrive in order", async () => {
  await withGateway<number>({}, async (ch, gateway, direct) => {
    gateway.hold("toClient");
    const count = 10_000;
    const puts = numbers(count).map((n) => ch.put(n));
    await until(() => gateway.published > 0);
    await quiet(gateway);
    assert.ok(gateway.published <= 4096, `${gateway.published} messages were sent unconfirmed`);
    assert.ok(gateway.published >= 256, `only ${gateway.published} messages were sent`);
    gateway.release();
    await within(Promise.all(puts));
    assert.equal(gateway.published, count);
    assert.deepEqual(await getAll(direct, count), numbers(count));
  });
});

Deno.test("outbox: unconfirmed puts are limited in bytes, and a single put of any size is sent", async () => {
  await withGateway<Uint8Array>({}, async (ch, gateway, direct) => {
    const mega = 2 ** 20;
    gateway.hold("toClient");
    const puts = numbers(40).map((n) => ch.put(new Uint8Array(mega).fill(n)));
    await until(() => gateway.bytes > mega);
    await quiet(gateway);
    assert.ok(gateway.bytes < 17 * mega, `${gateway.bytes} bytes were sent unconfirmed`);
    gateway.release();
    await within(Promise.all(puts));
    const first = (await getAll(direct, 40)).map((value) => value[0]);
    assert.deepEqual(first, numbers(40));
    await ch.put(new Uint8Array(12 * mega));
    assert.equal((await direct.get()).length, 12 * mega);
  });
});

Deno.test("outbox: a put that is cancelled while it waits for its turn is never sent", async () => {
  await withGateway<number | string>({}, async (ch, gateway, direct) => {
    gateway.hold("toClient");
    const count = 5000;
    const puts = numbers(count).map((n) => ch.put(n));
    const control = new AbortController();
    const aborted = outcome(ch.put("aborted", { signal: control.signal }));
    const late = await rejection(ch.put("late", { timeout: 50 }), ChannelTimeoutError);
    assertOutcome(late, "late", true);
    control.abort("r");
    assert.equal(await aborted, "r");
    puts.push(ch.put(count));
    await quiet(gateway);
    gateway.release();
    await within(Promise.all(puts));
    assert.equal(gateway.published, count + 1);
    assert.deepEqual(await getAll(direct, count + 1), numbers(count + 1));
    await rejection(direct.get({ timeout: 50 }), ChannelTimeoutError);
  });
});

Deno.test("outbox: a put that is cancelled after it was sent has an unknown outcome and may arrive", async () => {
  await withGateway<string>({}, async (ch, gateway, direct) => {
    gateway.hold("toClient");
    const late = await rejection(ch.put("late", { timeout: 100 }), ChannelTimeoutError);
    assertOutcome(late, "late", false);
    const other = await rejection(ch.put("later", { timeout: 100 }), ChannelTimeoutError);
    assertOutcome(other, "later", false);
    assert.notEqual(other.messageId, late.messageId);
    assert.deepEqual(await getAll(direct, 2), ["late", "later"]); // both arrived
    gateway.release();
    await ch.put("next");
    assert.equal(await direct.get({ timeout: 20_000 }), "next");
    await rejection(direct.get({ timeout: 50 }), ChannelTimeoutError);
  });
});

Deno.test("outbox: a cancelled put is not sent again on the next connection", async () => {
  await withGateway<string>({ retryTimeout: 20_000 }, async (ch, gateway, direct, lost) => {
    gateway.hold("toBroker", "toClient"); // frames that are sent now are lost
    const late = await rejection(ch.put("late", { timeout: 100 }), ChannelTimeoutError);
    assertOutcome(late, "late", false);
    const control = new AbortController();
    const aborted = outcome(ch.put("aborted", { signal: control.signal }));
    const kept = ch.put("kept");
    await quiet(gateway);
    control.abort("r");
    assert.equal(await aborted, "r");
    gateway.cut();
    await within(lost);
    const unsent = await rejection(ch.put("unsent", { timeout: 100 }), ChannelConnectionError);
    assertOutcome(unsent, "unsent", true);
    gateway.open();
    await within(kept);
    await ch.put("next");
    assert.deepEqual(await getAll(direct, 2), ["kept", "next"]);
    await rejection(direct.get({ timeout: 50 }), ChannelTimeoutError);
  });
});

const tries: [string, (ch: Channel<string>) => Promise<unknown>][] = [
  ["tryPut", (ch) => ch.tryPut("sent")],
  ["trySelect", (ch) => trySelect({ out: ch.putCase("sent") })],
  ["select", (ch) => select({ out: ch.putCase("sent") })],
];
for (const [title, attempt] of tries) {
  Deno.test(`outbox: a ${title} that was sent, and finds a full channel on the next connection, has an unknown outcome`, async () => {
    await withGateway<string>({ capacity: 1 }, async (ch, gateway, direct, lost) => {
      gateway.hold("toClient");
      const sent = rejection(attempt(ch), ChannelConnectionError);
      await until(async () => await direct.depth() === 1);
      gateway.cut();
      await within(lost);
      gateway.open();
      assertOutcome(await sent, "sent", false);
      assert.equal(await direct.get({ timeout: 20_000 }), "sent"); // this value filled the channel
      await rejection(direct.get({ timeout: 50 }), ChannelTimeoutError);
      assert.equal(await ch.tryPut("next"), "ok");
      assert.equal(await direct.get({ timeout: 20_000 }), "next");
    });
  });
}

Deno.test("outbox: of puts that outlast retryTimeout, those that were sent have an unknown outcome", async () => {
  await withGateway<string>({ retryTimeout: 300 }, async (ch, gateway, direct, lost) => {
    gateway.hold("toClient");
    const sent = rejection(ch.put("sent"), ChannelConnectionError);
    assert.equal(await direct.get({ timeout: 20_000 }), "sent");
    gateway.cut();
    await within(lost);
    const unsent = rejection(ch.put("unsent"), ChannelConnectionError);
    assertOutcome(await sent, "sent", false);
    assertOutcome(await unsent, "unsent", true);
    gateway.open();
    await ch.put("next");
    assert.equal(await direct.get({ timeout: 20_000 }), "next");
    await rejection(direct.get({ timeout: 50 }), ChannelTimeoutError);
  });
});

Deno.test("outbox: of puts that close cancels, those that were sent have an unknown outcome", async () => {
  await withGateway<number>({}, async (ch, gateway, direct) => {
    gateway.hold("toBroker", "toClient");
    const count = 5000;
    const puts = numbers(count).map((n) => rejection(ch.put(n), ChannelClosedError));
    await until(() => gateway.published > 0);
    await quiet(gateway);
    const sent = gateway.published;
    assert.ok(sent < count);
    await within(ch.close());
    for (const [n, error] of (await Promise.all(puts)).entries()) {
      assert.equal(error.value, n);
      assert.equal(error.messageId === undefined, n >= sent);
    }
    gateway.cut();
    await rejection(direct.get({ timeout: 50 }), ChannelTimeoutError);
    await pause(2100); // longer than close waits
  });
});

Deno.test("outbox: a put that cannot be sent has a known outcome", async () => {
  await using gateway = await startGateway(broker);
  gateway.cut();
  const connection = gateway.uri;
  const ch = new Channel<string>({ name: "nowhere", connection, retryTimeout: 100 });
  assertOutcome(await rejection(ch.put("a"), ChannelConnectionError), "a", true);
  assertOutcome(await rejection(ch.put("b", { timeout: 20 }), ChannelConnectionError), "b", true);
  await ch.close();
  assertOutcome(await rejection(ch.put("c"), ChannelClosedError), "c", true);
});

Deno.test("outbox: a broker in memory alarm delays puts, and puts cancelled meanwhile are never sent", async () => {
  await using node = await startPrivateBroker();
  const lines: string[] = [];
  const logger = {
    info: (line: string) => lines.push(line),
    warn: (line: string) => lines.push(line),
  };
  const ch = new Channel<string>({
    name: "alarmed",
    connection: new Connection(node.uri, { logger }),
  });
  const has = (part: string) => lines.some((line) => line.includes(part));
  try {
    await ch.depth();
    await node.ctl("set_vm_memory_high_watermark", "0.000001");
    const first = ch.put("first"); // only then does the broker report that it is blocked
    await until(() => has("accepts no messages"));
    const blocked = await rejection(ch.put("unsent", { timeout: 100 }), ChannelTimeoutError);
    assertOutcome(blocked, "unsent", true);
    assert.match(blocked.message, /the broker accepts no messages now: low on memory/);
    const control = new AbortController();
    const aborted = outcome(ch.put("aborted", { signal: control.signal }));
    const second = ch.put("second");
    control.abort("r");
    assert.equal(await aborted, "r");
    assert.ok(!has("accepts messages again"));
    await node.ctl("set_vm_memory_high_watermark", "0.6");
    await within(Promise.all([first, second]));
    assert.ok(has("accepts messages again"));
    assert.deepEqual(await getAll(ch, await ch.depth()), ["first", "second"]);
  } finally {
    await ch.close();
    await connectionsRest();
  }
});

interface Memory {
  readonly heap: number;
  readonly rss: number;
}

/** Runs flood.ts and returns its memory use after each tenth of its puts. */
async function flood(
  args: string[],
  onReady: () => void | Promise<void> = () => {},
): Promise<Memory[]> {
  await using child = startChild(new URL("programs/flood.ts", import.meta.url), { args });
  assert.equal(await child.next(), "ready");
  await onReady();
  child.send("go");
  const reported: Memory[] = [];
  while (reported.length < 10) reported.push(await child.next(60_000) as Memory);
  return reported;
}

/** @param most MiB: the memory may grow by half of this from each reading to the fourth after it */
function assertFlat(reported: Memory[], most: number): void {
  const mega = ({ heap, rss }: Memory) => [heap, rss].map((bytes) => Math.round(bytes / 2 ** 20));
  const shown = JSON.stringify(reported.map(mega));
  // A leak grows all the time. An engine may take more memory at any time, but once.
  for (const kind of ["heap", "rss"] as const) {
    const stretches = reported.slice(4).map((each, i) => each[kind] - reported[i]![kind]);
    const grown = Math.min(...stretches) / 2 ** 20;
    assert.ok(grown < most / 2, `the ${kind} grew by ${Math.round(grown)} MiB and more: ${shown}`);
  }
}

test("outbox: memory stays flat while 60,000 values are put in batches", {
  skip: decidedOnFirstBroker,
}, async () => {
  const ch = new Channel<string>({ name: `test ${randomUUID()}`, connection: broker });
  let isOver = false;
  let got = 0;
  const draining = (async () => {
    for await (const _ of ch) got++;
  })();
  try {
    // 180 MB in all.
    assertFlat(await flood([broker, ch.name, "60000", "1000", "3000"]), 90);
    isOver = await until(() => got === 60_000, 60_000).then(() => true);
  } finally {
    await ch.delete();
    await within(draining);
    await connectionsRest();
  }
  assert.ok(isOver);
});

test("outbox: memory stays flat while the broker is unreachable and puts are cancelled", {
  skip: decidedOnFirstBroker,
}, async () => {
  await withGateway<string>({}, async (ch, gateway) => {
    // 320 MB in all.
    const reported = await flood(
      [gateway.uri, ch.name, "80000", "500", "4000", "20"],
      () => gateway.cut(),
    );
    assertFlat(reported, 100);
    gateway.open();
  });
});
