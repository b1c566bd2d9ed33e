import { type AMQPChannel, AMQPClient, type AMQPMessage } from "@cloudamqp/amqp-client";
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  type ChannelOptions,
  ChannelTimeoutError,
} from "../mod.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  pause,
  rejection,
  soon,
  until,
} from "./conformance/scene.ts";
import { startPrivateBroker } from "./support/broker.ts";
import { startProxy } from "./support/proxy.ts";
import { test as declare, type TestOptions } from "./support/test.ts";
import { decidedOnDeno, noLocalBroker } from "./support/conditions.ts";

const broker = process.env.BROKER!;
ok(broker, "BROKER names no broker: run with `deno task test`");

/** The broker over another connection of this process. */
function far(n = 1): string {
  const url = new URL(broker);
  url.searchParams.set("name", `far ${n}`);
  return url.href;
}

/** An unbuffered channel, and a second handle on it by another connection, which does not know that it is one. */
async function unbuffered(
  options: ChannelOptions,
  use: (ch: Channel<number>, other: Channel<number>) => Promise<void>,
): Promise<void> {
  const ch = new Channel<number>({ connection: broker, ...options, capacity: 0 });
  await ch.depth();
  const other = new Channel<number>({ name: ch.name, connection: far() });
  try {
    await use(ch, other);
  } finally {
    await other.close();
    await ch.delete().catch(() => {});
    await ch.close();
    await connectionsRest();
  }
}

/** Somebody who speaks the protocol by hand, and hears what is said on a named channel. */
async function stranger(
  name: string,
  use: (words: AMQPMessage[], say: (kind: string, to?: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const client = new AMQPClient(new URL(broker).href);
  const connecting = client.connect();
  await connecting;
  try {
    const channel: AMQPChannel = await client.channel();
    const bulletin = await channel.queueDeclare("", { exclusive: true });
    await channel.queueBind(bulletin.name, name, "");
    const words: AMQPMessage[] = [];
    await channel.basicConsume(bulletin.name, { noAck: true }, (word) => void words.push(word));
    await use(words, async (word, to) => {
      const contentType = "application/vnd.channelts.rendezvous";
      const about = { contentType, correlationId: name, replyTo: bulletin.name };
      await channel.basicPublish(to === undefined ? name : "", to ?? "", word, about);
    });
  } finally {
    await client.close();
  }
}

/** What a stranger hears, without its numbers. */
function kind(word: AMQPMessage): string {
  return word.bodyString()!.split(" ")[0]!;
}

function test(title: string, body: () => Promise<void>, options: TestOptions = {}): void {
  declare(`rendezvous: ${title}`, options, () => soon(body(), 30_000));
}

/** What a broker does with its own is no matter of the runtime. */
function brokerTest(title: string, body: () => Promise<void>): void {
  test(title, body, { skip: decidedOnDeno });
}

const named = () => ({ name: `rendezvous ${randomUUID()}` });

test("a value whose receiver died after he granted it is another's", async () => {
  await unbuffered(named(), async (ch, other) => {
    await stranger(ch.name, async (words, say) => {
      const put = ch.put(1);
      await until(() => words.some((word) => kind(word) === "ask"));
      await say("grant 1", words[0]!.properties.replyTo);
      await soon(put);
    });
    equal(await soon(other.get()), 1);
    await rejection(ch.put(2, { timeout: 100 }), ChannelTimeoutError);
  });
});

test("who asked and died holds up others for a second at most", async () => {
  await unbuffered(named(), async (ch, other) => {
    const got = other.get();
    await stranger(ch.name, async (words, say) => {
      await pause(100);
      await say("ask 5");
      await until(() => words.some((word) => kind(word) === "grant"));
    });
    await soon(ch.put(1));
    equal(await soon(got), 1);
  });
});

test("a name of 32 digits that somebody made up is no unbuffered channel's", async () => {
  const digest = "0123456789ab8def" + randomUUID().replaceAll("-", "").slice(16);
  const ch = new Channel<number>({ name: digest, connection: broker });
  await soon(ch.put(1));
  const refused = new Channel<number>({ name: digest, connection: far(), capacity: 0 });
  await rejection(refused.depth(), ChannelConfigError);
  equal(await ch.get(), 1);
  await ch.delete();
  await Promise.all([ch, refused].map((handle) => handle.close()));
  const names = numbers(100).map(() => new Channel({ connection: broker }).name);
  ok(names.every((name) => /^[0-9a-f]{12}4[0-9a-f]{19}$/.test(name)));
  equal(new Set(names).size, 100);
  await connectionsRest();
});

test("a receiver that comes later is found at once, and not when all are asked again", async () => {
  for (const options of [named(), {}]) {
    await unbuffered(options, async (ch, other) => {
      const put = ch.put(1);
      await pause(1100); // all are asked again after 1 s, and after 2 more
      equal(await soon(other.get(), 1000), 1);
      await soon(put);
    });
  }
}, { timed: "who is asked again is found, too, but only a second later" });

test("a get that is given up takes its grant back, where that is not used yet", async () => {
  await unbuffered(named(), async (ch, other) => {
    await other.depth();
    const given = new AbortController();
    const late = rejection(other.get({ signal: given.signal }), Error);
    await stranger(ch.name, async (words, say) => {
      await pause(100);
      await say("ask 1");
      await until(() => words.some((word) => kind(word) === "grant"));
      given.abort(new Error("given up"));
      await late;
      await until(() => words.some((word) => kind(word) === "revoke"));
      const [grant, revoke] = words.filter((word) => /grant|revoke/.test(kind(word)));
      const number = (word?: AMQPMessage) => word!.bodyString()!.split(" ")[1];
      equal(number(revoke), number(grant));
      await say(`no ${number(grant)}`, grant!.properties.replyTo);
    });
    const got = other.get();
    await soon(ch.put(1), 900);
    equal(await got, 1);
  });
}, { timed: "a grant that is not taken back ends by itself, but only a second later" });

test("what is said by nobody in particular, or in no known words, is not heard", async () => {
  await unbuffered(named(), async (ch, other) => {
    await stranger(ch.name, async (words, say) => {
      const put = ch.put(1);
      await until(() => words.some((word) => kind(word) === "ask"));
      const to = words[0]!.properties.replyTo!;
      for (const word of ["", "grant", "grant x", "grant 1 0", "gift 1", "grant -1"]) {
        await say(word, to);
      }
      await rejects(soon(put, 300), /took more/);
      equal(await soon(other.get()), 1);
      await put;
    });
  });
});

/** What is found sooner or later: on a busy machine, who waits to put may not have been heard of at first. */
async function found<T>(look: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof ChannelTimeoutError) || performance.now() > deadline) throw error;
    }
  }
}

test("tryGet and receive({ timeout: 0 }) take the value of who waits", async () => {
  for (const options of [named(), {}]) {
    await unbuffered(options, async (ch, other) => {
      await rejection(other.get({ timeout: 0 }), ChannelTimeoutError);
      const put = ch.put(1);
      equal(await found(() => other.get({ timeout: 0 })), 1);
      await soon(put);
      const next = ch.put(2);
      const delivery = await found(() => ch.receive({ timeout: 0 }));
      equal(delivery.value, 2);
      delivery.accept();
      await soon(next);
      await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    });
  }
});

test("a named channel that expires is known as unbuffered while it is there", async () => {
  const name = `rendezvous ${randomUUID()}`;
  const make = (options: ChannelOptions = {}) =>
    new Channel<number>({ name, connection: broker, ...options });
  const first = make({ capacity: 0, expires: 60_000 });
  await first.depth();
  await first.close();
  await connectionsRest();
  const late = make();
  await late.depth();
  await rejection(late.put(1, { timeout: 200 }), ChannelTimeoutError);
  equal(await late.depth(), 0);
  // Its end is found all the same.
  const again = make({ capacity: 0, expires: 60_000 });
  const put = again.put(2).catch((error) => error.reason);
  await pause(100);
  await late.closeAll({ drain: true });
  equal(await soon(put), "drain");
  await rejection(make({ expires: 60_000, capacity: 0 }).get(), ChannelClosedError, {
    reason: "drain",
  });
  await rejection(late.get(), ChannelClosedError, { reason: "drain" });
  const last = make();
  await last.delete();
  await Promise.all([late, again, last].map((handle) => handle.close()));
  await connectionsRest();
});

test("a drained channel gives what was taken and released, and then ends", async () => {
  for (const options of [named(), {}]) {
    await unbuffered(options, async (ch, other) => {
      const put = ch.put(1);
      const delivery = await soon(other.receive());
      await soon(put);
      const waiting = rejection(ch.put(2), ChannelClosedError, { reason: "drain" });
      await pause(50);
      await other.closeAll({ drain: true });
      await soon(waiting);
      equal(await ch.tryPut(3), "closed");
      const last = ch.get();
      delivery.release();
      equal(await soon(last), 1);
      await rejection(ch.get(), ChannelClosedError, { reason: "drain" });
    });
  }
});

test("a put that waits finds out that the channel was deleted behind our back", async () => {
  for (const options of [named(), {}]) {
    await unbuffered(options, async (ch) => {
      const put = rejection(ch.put(1), ChannelClosedError, { reason: "delete" });
      await pause(50);
      const client = new AMQPClient(new URL(broker).href);
      await client.connect();
      await (await client.channel()).queueDelete(ch.name);
      await client.close();
      equal((await soon(put)).value, 1);
    });
  }
});

test("puts and gets outlast lost connections, on either side", async () => {
  const url = new URL(broker);
  await using proxy = await startProxy(Number(url.port || 5672));
  url.host = `127.0.0.1:${proxy.port}`;
  for (const [from, to] of [[url.href, far()], [far(), url.href], [url.href, url.href]]) {
    const name = `rendezvous ${randomUUID()}`;
    const ch = new Channel<number>({ name, connection: from!, capacity: 0 });
    await ch.depth();
    const other = new Channel<number>({ name, connection: to! });
    const put = ch.put(0); // waits, and so asks again
    await pause(50);
    proxy.cut();
    equal(await soon(other.get()), 0);
    await soon(put);
    const got = other.get(); // waits, and so is to be found again
    await pause(50);
    proxy.cut();
    await soon(ch.put(1));
    equal(await soon(got), 1);
    const values: number[] = [];
    const gets = (async () => {
      while (!values.includes(200)) values.push(await other.get({ timeout: 10_000 }));
    })();
    for (const n of numbers(199, 2)) {
      if (n % 40 === 0) proxy.cut();
      await ch.put(n);
    }
    await gets;
    deepEqual([...new Set(values)].sort((a, b) => a - b), numbers(199, 2));
    await rejection(ch.put(1, { timeout: 100 }), ChannelTimeoutError);
    await rejection(other.get({ timeout: 100 }), ChannelTimeoutError);
    await other.close();
    await ch.delete();
    await ch.close();
  }
  await connectionsRest();
}, { skip: noLocalBroker });

brokerTest("a broker that is killed and comes back knows the channel as before", async () => {
  await using own = await startPrivateBroker();
  const options = { connection: own.uri, capacity: 0, retryTimeout: 60_000 };
  const channels = [
    new Channel<number>({ ...options, name: "named" }),
    new Channel<number>({ ...options, name: "expiring", expires: 60_000 }),
    new Channel<number>(options),
  ];
  for (const ch of channels) await ch.depth();
  const others = channels.map(({ name }) =>
    new Channel<number>({ name, connection: `${own.uri}?name=other` })
  );
  const puts = channels.map((ch) => ch.put(1));
  await pause(100);
  await own.kill9();
  await own.restart();
  for (const other of others) equal(await soon(other.get()), 1);
  await soon(Promise.all(puts));
  for (const other of others) {
    await rejection(other.put(2, { timeout: 100 }), ChannelTimeoutError);
    equal(await other.tryPut(3), "full");
  }
  const gets = channels.map((ch) => getAll(ch, 3));
  for (const other of others) for (const n of numbers(3)) await soon(other.put(n));
  deepEqual(await Promise.all(gets), channels.map(() => numbers(3)));
  await Promise.all([...channels, ...others].map((handle) => handle.close()));
  await connectionsRest();
});

test("as many puts resolve as values are taken, whoever puts and gets, and nobody is held up", async () => {
  for (const [putPace, getPace] of [[0, 0], [4, 0], [0, 10], [3, 0]] as const) {
    await unbuffered({}, async (ch) => {
      const handles = numbers(4).map((n) =>
        new Channel<number>({ name: ch.name, connection: far(n) })
      );
      await Promise.all(handles.map((handle) => handle.depth()));
      const [all, put]: [number[], number[]] = [[], []];
      const puts = handles.map(async (handle, i) => {
        for (const n of numbers(30, i * 30)) {
          await handle.put(n);
          put.push(n);
          if (putPace > 0) await pause((i + n) % 4 * putPace);
        }
      });
      const gets = handles.map(async (handle, i) => {
        for (const n of numbers(25)) {
          all.push(await handle.get({ timeout: 10_000 }));
          if (getPace > 0) await pause((i + n) % 3 * getPace);
        }
      });
      await soon(Promise.all(gets));
      await pause(300);
      equal(put.length, 100);
      equal(await ch.depth(), 0);
      const sorted = (values: number[]) => values.sort((a, b) => a - b);
      deepEqual(sorted(all), sorted(put));
      const waiting = Promise.allSettled(puts);
      await Promise.all(handles.map((handle) => handle.close()));
      await waiting;
    });
  }
});
