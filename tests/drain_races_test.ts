// Races of drains: several connections put, get, attach and close one channel at the same time, and lose their
// connections. No value is lost, no operation waits forever, and a duplicate is marked as redelivered.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import {
  Channel,
  ChannelClosedError,
  type ChannelOptions,
  Connection,
  type Delivery,
} from "../mod.ts";
import { connectionsRest, numbers, pause, random, within } from "./conformance/fixture.ts";
import { brokerState } from "./support/broker_state.ts";
import { decidedOnFirstBroker } from "./support/conditions.ts";
import { redisUri, withAdmin } from "./support/redis_setup.ts";
import { logLine } from "./support/supervisor.ts";
import { startProxy } from "./support/proxy.ts";
import { test } from "./support/test.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

const redis = decidedOnFirstBroker === false ? await redisUri() : "";

/** How many drains race for each kind of channel. */
const races = Number(process.env.DRAIN_RACES ?? 20);

/** How channels of each kind are made. */
const kinds: Record<string, () => ChannelOptions> = {
  "named": () => ({ name: `race ${randomUUID()}` }),
  "named that expire": () => ({ name: `race ${randomUUID()}`, expires: 60_000 }),
  "anonymous": () => ({}),
};

/** Counts the values of one race. */
class Tally {
  readonly stored = new Set<number>();
  readonly refused = new Set<number>();
  readonly unknown = new Set<number>();
  readonly accepted = new Map<number, number>();
  /** For each value, how often it was delivered without being marked as redelivered. */
  readonly handedOut = new Map<number, number>();
  #last = 0;

  next(): number {
    return ++this.#last;
  }

  got({ value, redelivered }: Delivery<number>): void {
    this.handedOut.set(value, (this.handedOut.get(value) ?? 0) + (redelivered ? 0 : 1));
  }

  taken(value: number): void {
    this.accepted.set(value, (this.accepted.get(value) ?? 0) + 1);
  }

  /** @returns how many values were delivered twice, each of them marked */
  check(): number {
    const lost = [...this.stored].filter((value) => !this.accepted.has(value));
    assert.deepEqual(lost, [], "puts resolved for values that were not delivered before the end");
    const refused = [...this.refused].filter((value) => this.handedOut.has(value));
    assert.deepEqual(refused, [], "values of rejected puts were delivered");
    const unmarked = [...this.handedOut].filter(([, times]) => times > 1);
    assert.deepEqual(unmarked, [], "a duplicate was not marked");
    return [...this.accepted.values()].filter((times) => times > 1).length;
  }
}

async function putUntilClosed(ch: Channel<number>, tally: Tally): Promise<void> {
  for (;;) {
    const value = tally.next();
    try {
      await ch.put(value);
      tally.stored.add(value);
    } catch (error) {
      assert.ok(error instanceof ChannelClosedError, `${error}`);
      assert.equal(error.reason, "drain");
      const isUnknown = error.message.includes("unknown outcome");
      (isUnknown ? tally.unknown : tally.refused).add(value);
      return;
    }
    if (random(3) === 0) await pause(random(3));
  }
}

async function getUntilClosed(ch: Channel<number>, tally: Tally): Promise<void> {
  for await (const delivery of ch.deliveries()) {
    tally.got(delivery);
    if (random(4) === 0) await pause(random(5));
    if (random(10) === 0) delivery.release();
    else {
      tally.taken(delivery.value);
      delivery.accept();
    }
  }
}

/**
 * Runs one channel from its creation to its end.
 *
 * @returns how many values were delivered twice
 */
async function race(
  options: ChannelOptions,
  connections: readonly Connection[],
  cut: (() => void) | undefined,
): Promise<number> {
  const first = new Channel<number>({ connection: connections[0]!, ...options });
  await first.depth();
  const handles: Channel<number>[] = [first];
  const join = (n: number) => {
    const connection = connections[n % connections.length]!;
    // Some handles name the channel as it was made, others know only its name.
    const about = random(2) === 0 && options.name !== undefined ? options : { name: first.name };
    const handle = new Channel<number>({ ...about, connection });
    handles.push(handle);
    return handle;
  };
  const tally = new Tally();
  const work = [
    ...numbers(3).map((n) => putUntilClosed(join(n), tally)),
    ...numbers(3, 2).map((n) => getUntilClosed(join(n), tally)),
    // These attach while the channel is being closed.
    ...numbers(2).map((n) => pause(random(80)).then(() => putUntilClosed(join(n), tally))),
    ...numbers(2).map((n) => pause(random(80)).then(() => getUntilClosed(join(n), tally))),
    ...numbers(1 + random(3)).map((n) =>
      pause(20 + random(40)).then(() => join(n + 1).closeAll({ drain: true }))
    ),
  ];
  if (cut !== undefined) work.push(pause(random(100)).then(cut));
  try {
    await within(Promise.all(work), 30_000);
    // A handle made after the end finds the channel drained.
    await within(getUntilClosed(join(random(4)), tally), 10_000);
    await within(putUntilClosed(join(random(4)), tally), 10_000);
    return tally.check();
  } finally {
    await first.delete();
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

/** The engines; and the names of what they keep, of the channels of this file or of all. */
const engines: Record<string, { uri: string; kept: () => Promise<string[]> }> = {
  amqp: {
    uri: broker,
    async kept() {
      const state = await brokerState();
      const left = [...state?.queues ?? [], ...state?.exchanges ?? []];
      return left.filter((name) => name.startsWith("race "));
    },
  },
  redis: { uri: redis, kept: () => withAdmin(redis, (admin) => admin.keys("*")) },
};

for (const [engine, { uri, kept }] of Object.entries(engines)) {
  const skip = engine === "redis" && decidedOnFirstBroker;
  for (const [kind, make] of Object.entries(kinds)) {
    const title =
      `${engine}: racing drains of channels that are ${kind} lose nothing and never wait forever`;
    test(title, { skip }, async () => {
      const url = new URL(uri);
      await using proxy = await startProxy(Number(url.port || 5672));
      url.host = `127.0.0.1:${proxy.port}`;
      const connections = [uri, uri, uri, url.href].map((each) => new Connection(each));
      const before = await kept();
      let duplicates = 0;
      for (let done = 0; done < races; done++) {
        const cut = done % 4 === 3 ? () => proxy.cut() : undefined;
        duplicates += await race(make(), connections, cut);
        if (done % 100 === 99) logLine(`${done + 1} races of channels that are ${kind}`);
      }
      logLine(`${races} races of channels that are ${kind}: ${duplicates} duplicates, all marked`);
      await connectionsRest();
      assert.deepEqual((await kept()).filter((each) => !before.includes(each)), []);
    });
  }
}
