import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../mod.ts";
import { until, within } from "./conformance/fixture.ts";
import type { PrivateBroker } from "./support/broker.ts";
import { brokerState } from "./support/broker_state.ts";
import { type Cluster, startCluster } from "./support/cluster.ts";
import { decidedOnFirstBroker } from "./support/conditions.ts";
import { untilAsBefore } from "./support/leftovers.ts";
import { freePorts } from "./support/net.ts";

let cluster: Cluster;
Deno.test.beforeAll(async () => {
  cluster = await startCluster(3);
});
Deno.test.afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** Declares a test that leaves nothing at the brokers. */
function test(title: string, body: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test(title, async (t) => {
    const { control } = cluster.nodes[0]!;
    const before = (await brokerState(control))!;
    await body(t);
    await untilAsBefore(control, before);
  });
}

test("the nodes in a URI are tried in turn", async () => {
  const [closed] = await freePorts(1);
  const others = cluster.uri(1, 2).slice("amqp://".length);
  const ch = new Channel<string>({ connection: `amqp://127.0.0.1:${closed},${others}` });
  await ch.put("a value");
  equal(await ch.get(), "a value");
  await ch[Symbol.asyncDispose]();
});

test("a quorum channel survives the loss of its nodes, one at a time, without losing values", async (t) => {
  const name = "outlasting";
  const options = { name, durability: "quorum", retryTimeout: 60_000 } as const;
  const uri = (order: number[], title: string) =>
    `${cluster.uri(...order)}?heartbeat=2&name=${title}`;

  // The node on which it is declared becomes its leader.
  const declaring = new Channel({ ...options, connection: cluster.uri(2) });
  await declaring.depth();
  await declaring.close();
  equal(await cluster.leader(name), cluster.nodes[2]);

  const producer = new Channel<number>({ ...options, connection: uri([0, 1, 2], "producer") });
  const consumer = new Channel<number>({ ...options, connection: uri([1, 0, 2], "consumer") });
  const traffic = new Traffic(producer, consumer);
  // RabbitMQ 3.10.8 itself loses messages if a node dies in the first 3 s of a quorum queue.
  await pause(6500);

  const all: [string, () => Promise<PrivateBroker>][] = [
    ["the producer's node is killed", async () => (await cluster.connectedTo("producer"))!],
    [
      "the consumer's node is killed",
      async () => (await cluster.connectedTo("consumer"))!,
    ],
    ["the leader is killed", () => cluster.leader(name)],
  ];
  const rounds = decidedOnFirstBroker === false ? all : all.slice(-1);
  for (const [title, victim] of rounds) {
    await t.step(title, async () => {
      const node = await victim();
      await node.crash();
      await traffic.goesOn();
      notEqual(await cluster.connectedTo("producer"), node);
      await node.restart();
      await until(async () => await cluster.membersOf(name) === 3, 30_000, 100);
      await traffic.goesOn();
    });
  }

  await traffic.end(); // calls closeAll, of which the producer learns eventually
  await Promise.all([producer.close(), consumer.close()]);
  const last = new Channel({ ...options, connection: cluster.uri(0, 1, 2) });
  await last.delete();
  await last.close();
});

test("a channel whose only node is killed waits for that node on the others", async () => {
  const name = "at home";
  const declaring = new Channel({ name, connection: cluster.uri(2) });
  await declaring.depth();
  await declaring.close();

  const connection = cluster.uri(0, 1, 2);
  const ch = new Channel<number>({ name, connection, retryTimeout: 60_000 });
  await ch.put(1);
  equal(await ch.get(), 1);
  const got = ch.receive();
  await ch.depth();
  await cluster.nodes[2]!.crash();
  const put = ch.put(2);
  await pause(1000);
  await cluster.nodes[2]!.restart();
  await within(put);
  let delivery = await within(got);
  if (delivery.value === 1) { // the node had not yet stored the acknowledgement
    ok(delivery.redelivered);
    delivery.accept();
    delivery = await within(ch.receive());
  }
  equal(delivery.value, 2);
  delivery.accept();
  equal(await ch.depth(), 0);
  await ch.delete();
  await ch.close();
});

/** Puts and gets continuously. */
class Traffic {
  readonly #producer: Channel<number>;
  readonly #consumer: Channel<number>;
  readonly #resolved = new Set<number>();
  readonly #received: number[] = [];
  #next = 0;
  #isOver = false;
  readonly #writing: Promise<unknown>;
  readonly #reading: Promise<void>;

  constructor(producer: Channel<number>, consumer: Channel<number>) {
    this.#producer = producer;
    this.#consumer = consumer;
    this.#writing = Promise.all([this.#write(), this.#write()]);
    this.#reading = this.#read();
    for (const work of [this.#writing, this.#reading]) work.catch(() => {}); // end() reports the error
  }

  /** Waits until a put that starts now has resolved and its value has arrived. */
  async goesOn(): Promise<void> {
    const first = this.#next;
    const isFresh = (n: number) => n >= first && this.#resolved.has(n);
    const failed = Promise.all([this.#writing, this.#reading]);
    await Promise.race([until(() => this.#received.slice(-50).some(isFresh), 20_000, 10), failed]);
  }

  /** Stops the puts and compares. */
  async end(): Promise<void> {
    this.#isOver = true;
    await within(this.#writing, 20_000);
    const missing = () => {
      const received = new Set(this.#received);
      return [...this.#resolved].filter((n) => !received.has(n));
    };
    await until(() => missing().length === 0, 10_000, 50).catch(() => {}); // reported below
    deepEqual(missing(), [], "puts resolved for values that are lost");
    equal(new Set(this.#received).size, this.#received.length, "one process got a value twice");
    ok(this.#received.length > 100, `${this.#received.length} values`);
    await this.#consumer.closeAll();
    await within(this.#reading);
  }

  async #write(): Promise<void> {
    while (!this.#isOver) {
      const ids = [0, 1, 2, 3].map(() => this.#next++);
      await Promise.all(ids.map(async (id) => {
        await this.#producer.put(id);
        this.#resolved.add(id);
      }));
      await pause(10);
    }
  }

  async #read(): Promise<void> {
    for await (const value of this.#consumer) this.#received.push(value);
  }
}
