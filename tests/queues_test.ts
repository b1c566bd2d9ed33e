/** Values in queues of each type, on vhosts of each default type. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, Connection, select } from "../mod.ts";
import { connectionsRest, getAll, numbers, pause, until } from "./conformance/fixture.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv, runCtl } from "./support/control.ts";
import { evalJson } from "./support/erlang.ts";
import { startProxy } from "./support/proxy.ts";
import { withRaw } from "./support/raw.ts";
import { test } from "./support/test.ts";
import { addVhost } from "./support/users.ts";

const broker = process.env.BROKER!;
const control = controlFromEnv()!;
const types = ["classic", "quorum"] as const;
type QueueType = (typeof types)[number];

/**
 * More than the 20 returns after which RabbitMQ 4 drops a message of a quorum queue without a delivery limit of its
 * own.
 */
const often = 25;
const cuts = 60;

for (const usual of types) {
  test(
    `nothing is lost, and values keep their place, if the default queue type is ${usual}`,
    { skip: noControl },
    async () => {
      await using vhost = await addVhost(control, broker, usual);
      await isNamed(vhost.uri);
      await isReported(vhost.uri);
      await Promise.all([
        ...types.flatMap((durability) => [
          stayReleased(vhost.uri, durability),
          stayReleased(vhost.uri, durability, 100), // nothing of this is read ahead
          stayCut(vhost.uri, durability),
        ]),
        staySelected(vhost.uri),
        stayInBounds(vhost.uri, "classic"),
        stayInBounds(vhost.uri, "quorum"),
      ]);
      await connectionsRest();
    },
  );
}

for (const durability of types) {
  Deno.test(`a value arrives although an earlier one is held (${durability})`, async () => {
    const connection = new Connection(broker); // its first consumer comes after its first basic.get
    const ch = new Channel<number>({ name: `test ${randomUUID()}`, connection, durability });
    await ch.put(0);
    const first = await ch.receive();
    const second = ch.receive({ timeout: 20_000 });
    await pause(200); // the queue is empty, and a consumer waits
    await ch.put(1);
    equal((await second).value, 1);
    first.accept();
    (await second).accept();
    await ch.delete();
    await ch.close();
    await connectionsRest();
  });
}

for (const durability of types) {
  for (const isReleasedLater of [false, true]) {
    Deno.test(
      `values that were received with pauses keep their places if they are released ${
        isReleasedLater ? "later" : "at once"
      } (${durability})`,
      async () => {
        const name = `test ${randomUUID()}`;
        const ch = new Channel<number>({ name, connection: broker, durability, capacity: 100 });
        await Promise.all(numbers(20).map((n) => ch.put(n)));
        for (let time = 0; time < often; time++) {
          const deliveries = [];
          for (const n of numbers(6)) {
            if (n === 2) await pause(30); // the consumer has given its AMQP channel back
            deliveries.push(await ch.receive());
          }
          if (isReleasedLater) await pause(30);
          deepEqual(deliveries.map(({ value }) => value), numbers(6));
          for (const delivery of deliveries) delivery.release();
        }
        deepEqual(await getAll(ch, 20), numbers(20));
        await ch.delete();
        await ch.close();
        await connectionsRest();
      },
    );
  }
}

/** Receives several values, so that others are read ahead, and releases all. */
async function stayReleased(
  connection: string,
  durability: QueueType,
  capacity?: number,
): Promise<void> {
  const name = `test ${randomUUID()}`;
  const ch = new Channel<number>({
    name,
    connection,
    durability,
    ...capacity === undefined ? {} : { capacity },
  });
  const all = numbers(40);
  // A quorum queue requeues messages in flight to a consumer that ends before the messages that are returned then.
  const keepsPlaces = durability === "classic" || capacity !== undefined;
  const inOrder = (values: number[]) => keepsPlaces ? values : values.sort((a, b) => a - b);
  await Promise.all(all.map((n) => ch.put(n)));
  for (let time = 0; time < often; time++) {
    const deliveries = [];
    while (deliveries.length < 8) deliveries.push(await ch.receive());
    if (keepsPlaces) deepEqual(deliveries.map(({ value }) => value), numbers(8));
    for (const delivery of deliveries) delivery.release();
  }
  deepEqual(inOrder(await getAll(ch, all.length)), all);
  await ch.delete();
  await ch.close();
}

/** Each connection is cut while it holds the first value. */
async function stayCut(uri: string, durability: QueueType): Promise<void> {
  const name = `test ${randomUUID()}`;
  const ch = new Channel<number>({ name, connection: uri, durability });
  const all = numbers(3);
  await Promise.all(all.map((n) => ch.put(n)));
  const url = new URL(uri);
  await using proxy = await startProxy(Number(url.port || 5672));
  url.host = `127.0.0.1:${proxy.port}`;
  for (let time = 0; time < cuts; time++) {
    const other = new Channel<number>({ name, connection: new Connection(url.href), durability });
    equal((await other.receive()).value, 0);
    proxy.cut();
    await other.close();
    await until(async () => await ch.depth() === all.length);
  }
  deepEqual(await getAll(ch, all.length), all);
  await ch.delete();
  await ch.close();
}

/** Each select reads ahead from all channels but one. */
async function staySelected(connection: string): Promise<void> {
  const name = `test ${randomUUID()}`;
  const channels = numbers(8).map((n) => new Channel<number>({ name: `${name} ${n}`, connection }));
  const all = numbers(240);
  await Promise.all(all.map((n) => channels[n % 8]!.put(n)));
  const got: number[] = [];
  while (got.length < all.length) {
    got.push((await select(channels, { timeout: 10_000 })).value!);
  }
  deepEqual(got.sort((a, b) => a - b), all);
  await Promise.all(channels.map((ch) => ch.delete()));
  await Promise.all(channels.map((ch) => ch.close()));
}

/** Asserts that every queue is declared with its type. */
async function isNamed(uri: string): Promise<void> {
  const connection = new Connection(uri);
  const name = `test ${randomUUID()}`;
  const classic = [
    new Channel({ name, connection }),
    new Channel({ name: `${name} bounded`, connection, capacity: 3 }),
    new Channel({ name: `${name} leased`, connection, expires: 60_000 }),
    new Channel({ connection }),
  ];
  const quorum = new Channel({ name: `${name} quorum`, connection, durability: "quorum" });
  const all = [...classic, quorum];
  await Promise.all(all.map((ch) => ch.put(1)));
  await classic[0]!.closeAll({ drain: true });
  const queues = await evalJson<[string, Record<string, string | number>][]>(
    control,
    `[[N, maps:from_list([{K, V} || {K, _, V} <- amqqueue:get_arguments(Q)])] ||
      Q <- rabbit_amqqueue:list(<<"${uri.split("/").at(-1)}">>),
      {resource, _, queue, N} <- [amqqueue:get_name(Q)]]`,
  );
  ok(queues.length > all.length, "the channels' queues, and those for announcements and a drain");
  for (const [name, settings] of queues) {
    equal(settings["x-queue-type"], name === quorum.name ? "quorum" : "classic", name);
    if (name === quorum.name) equal(settings["x-delivery-limit"], 2 ** 31 - 1);
  }
  await Promise.all(all.map((ch) => ch.delete()));
  await Promise.all(all.map((ch) => ch.close()));
}

/** Queues of others that may drop values are reported. */
async function isReported(uri: string): Promise<void> {
  const queues = [
    ["usual", { "x-queue-type": "quorum" }, "classic", /may drop values that were released 20 /],
    ["earlier", { "x-queue-type": "quorum" }, "quorum", /may drop values that were released 20 /],
    [
      "limited",
      { "x-queue-type": "quorum", "x-delivery-limit": 5 },
      "quorum",
      /drops values that were released 5 times/,
    ],
    [
      "mortal",
      { "x-queue-type": "classic", "x-message-ttl": 60_000 },
      "classic",
      /drops values after 60000 ms/,
    ],
    ["harmless", { "x-max-length": 5 }, "classic", undefined],
  ] as const;
  const warnings: string[] = [];
  const logger = { warn: (text: string) => void warnings.push(text) };
  const connection = new Connection(uri, { logger });
  for (const [name, settings, durability, warning] of queues) {
    await withRaw(uri, (channel) => channel.queueDeclare(name, { durable: true }, settings));
    const ch = new Channel<number>({ name, connection, durability });
    await ch.put(1);
    equal(await ch.get(), 1);
    const reported = warnings.splice(0);
    equal(reported.length, warning === undefined ? 0 : 1, `${reported}`);
    if (warning !== undefined) match(reported[0]!, warning);
    await ch.delete();
    await ch.close();
  }
  // A queue that this version declares is not one of these.
  const quorum = new Channel<number>({ name: "quorum", connection, durability: "quorum" });
  await quorum.put(1);
  const others = ["classic", "quorum"] as const;
  for (const durability of others) {
    const ch = new Channel<number>({
      name: "quorum",
      connection: new Connection(uri, { logger }),
      durability,
    });
    equal(await ch.depth(), 1);
    await ch.close();
  }
  await quorum.delete();
  await quorum.close();
  deepEqual(warnings, []);
}

/** A policy limits the length of the queue. */
async function stayInBounds(connection: string, durability: QueueType): Promise<void> {
  const name = `bounded ${durability} ${randomUUID()}`;
  const vhost = connection.split("/").at(-1)!;
  const policy = ["--apply-to", "queues", "any", "^bounded", '{"max-length":2}'];
  await runCtl(control, ["set_policy", "-p", vhost, ...policy]);
  const ch = new Channel<number>({ name, connection, durability, expires: 60_000 });
  const puts: number[] = [];
  while (await ch.tryPut(puts.length) === "ok") puts.push(puts.length);
  ok(puts.length === 2 || puts.length === 3, `${puts}`); // a quorum queue may take one more
  deepEqual(await getAll(ch, puts.length), puts);
  await ch.delete();
  await ch.close();
}
