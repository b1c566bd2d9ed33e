// The subjects of Go's own channel tests: networks of many tasks and channels, which work only if no value is lost,
// duplicated or overtaken, and the meaning of select, closing and capacities. The ideas come from Go's repository,
// folder test/chan, and from McIlroy, "Squinting at Power Series" (1990).
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import {
  Channel,
  ChannelClosedError,
  ChannelTimeoutError,
  type PutCase,
  type ReceiveChannel,
  select,
  type SendChannel,
  trySelect,
} from "../mod.ts";
import {
  connectionsRest,
  numbers,
  pause,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { startHome } from "./homes/home_process.ts";
import { redisUri } from "./support/redis_setup.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";
import { test as declare, type TestOptions } from "./support/test.ts";

const broker = process.env.BROKER;
if (!broker) throw new Error("set BROKER to a broker's URI, or run `deno task test`");
const home = await startHome();
Deno.test.afterAll(() => home[Symbol.asyncDispose]());

/**
 * The transports and the sizes of the networks: an operation takes microseconds in memory and milliseconds elsewhere.
 */
const places = [
  { label: "memory", connection: "memory:go", size: 10, least: 0 },
  { label: "sqlite", connection: `sqlite:${join(sqliteDirectory(), "go.db")}`, size: 5, least: 0 },
  { label: "amqp", connection: broker, size: 3, least: 1 },
  { label: "redis", connection: await redisUri(), size: 5, least: 0 },
  { label: "zmq", connection: home.addresses[0]!, size: 5, least: 0 },
] as const;

/** The channels and tasks of one network. */
class Network {
  readonly size: number;
  /** The smallest capacity that a channel may have. */
  readonly least: number;
  readonly #connection: string;
  readonly #channels = new Set<Channel<never>>();
  readonly #tasks: Promise<void>[] = [];

  constructor(place: { connection: string; size: number; least: number }) {
    this.#connection = place.connection;
    this.size = place.size;
    this.least = place.least;
  }

  channel<T>(capacity?: number): Channel<T> {
    const bounds = capacity === undefined ? {} : { capacity };
    return this.own(new Channel<T>({ connection: this.#connection, ...bounds }));
  }

  /** Disposes of a channel that arrived, after the test. */
  own<T>(channel: Channel<T>): Channel<T> {
    this.#channels.add(channel as unknown as Channel<never>);
    return channel;
  }

  /** Runs a task, which ends by itself or with its channels. */
  go(task: () => Promise<void>): void {
    this.#tasks.push(
      task().catch((error) => {
        if (!(error instanceof ChannelClosedError)) throw error;
      }),
    );
  }

  /** Ends every task and throws the error of a failed one. */
  async end(): Promise<void> {
    await Promise.all([...this.#channels].map((channel) => channel[Symbol.asyncDispose]()));
    await within(Promise.all(this.#tasks));
  }
}

function test(
  title: string,
  body: (network: Network) => Promise<void>,
  options: (label: string) => TestOptions = () => ({}),
): void {
  for (const place of places) {
    const { label } = place;
    declare(`go: ${label}: ${title}`, options(label), async () => {
      const network = new Network(place);
      try {
        await within(body(network), 30_000);
      } finally {
        await network.end();
        await connectionsRest();
        await pause(60);
      }
    });
  }
}

/** The options of a test that needs channels of capacity 0. */
function unbuffered(label: string): TestOptions {
  return { skip: label === "amqp" && "amqp: has no channels of capacity 0" };
}

test("a prime sieve with one task for each prime", async (network) => {
  const count = 6 * network.size;
  const naturals = network.channel<number>();
  network.go(async () => {
    for (let n = 2;; n++) await naturals.put(n);
  });
  const primes: number[] = [];
  let numbersLeft = naturals;
  while (primes.length < count) {
    const prime = await numbersLeft.get();
    primes.push(prime);
    const [from, to] = [numbersLeft, network.channel<number>()];
    network.go(async () => {
      for await (const n of from) if (n % prime !== 0) await to.put(n);
    });
    numbersLeft = to;
  }
  const isPrime = (n: number) => n > 1 && numbers(n - 2, 2).every((d) => n % d !== 0);
  assert.deepEqual(primes, numbers(primes.at(-1)! + 1).filter(isPrime));
});

test("a daisy chain adds one at each link and keeps the order", async (network) => {
  const first = network.channel<number>();
  let last = first;
  const length = 10 * network.size;
  for (const _ of numbers(length)) {
    const [from, to] = [last, network.channel<number>()];
    network.go(async () => {
      for await (const n of from) await to.put(n + 1);
    });
    last = to;
  }
  for (const n of numbers(5)) await first.put(n);
  for (const n of numbers(5)) assert.equal(await last.get(), n + length);
});

test("tasks that pass on a token take turns", async (network) => {
  // Each task may write only after its predecessor.
  const written: number[] = [];
  const count = 8 * network.size;
  let turn = network.channel<true>();
  await turn.put(true);
  for (const n of numbers(count)) {
    const [mine, next] = [turn, network.channel<true>()];
    network.go(async () => {
      await mine.get();
      written.push(n);
      await next.put(true);
    });
    turn = next;
  }
  await turn.get();
  assert.deepEqual(written, numbers(count));
});

test("many producers, many workers: each value is processed once", async (network) => {
  const [jobs, results] = [network.channel<number>(), network.channel<[number, number]>()];
  const [producers, workers, each] = [3, 4, 20 * network.size];
  for (const p of numbers(producers)) {
    network.go(async () => {
      for (const n of numbers(each, p * each)) await jobs.put(n);
    });
  }
  for (const w of numbers(workers)) {
    const own = network.own(jobs.dup());
    network.go(async () => {
      for await (const n of own) await results.put([w, n]);
    });
  }
  const got = [];
  while (got.length < producers * each) got.push((await results.get())[1]);
  assert.deepEqual(got.sort((a, b) => a - b), numbers(producers * each));
  await rejection(results.get({ timeout: 0 }), ChannelTimeoutError);
});

test("one producer's values stay in order through one consumer at a time", async (network) => {
  const [up, down] = [network.channel<number>(), network.channel<number>()];
  const count = 50 * network.size;
  network.go(async () => {
    await Promise.all(numbers(count).map((n) => up.put(n)));
  });
  network.go(async () => {
    for (const _ of numbers(count)) await down.put(await up.get());
  });
  const got = [];
  while (got.length < count) got.push(await down.get());
  assert.deepEqual(got, numbers(count));
});

test("gets that take only existing values never wait and miss nothing", async (network) => {
  const ch = network.channel<number>();
  for (const n of numbers(5 * network.size)) {
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    await ch.put(n);
    assert.equal(await ch.get({ timeout: 0 }), n);
  }
  const total = 20 * network.size;
  let got = 0;
  const takers = numbers(3).map(async () => {
    while (got < total) {
      const value = await ch.get({ timeout: 0 }).catch((error) => {
        if (!(error instanceof ChannelTimeoutError)) throw error;
      });
      if (value !== undefined) got++;
      await pause(0);
    }
  });
  for (const n of numbers(total)) await ch.put(n);
  await Promise.all(takers);
  assert.equal(got, total);
});

test("every waiting get of a closed channel rejects, however many there are", async (network) => {
  const ch = network.channel<number>();
  const handles = numbers(3).map(() => network.own(ch.dup()));
  const waiting = handles.flatMap((handle) => [handle.get(), handle.get()]);
  const reported = waiting.map((get) => rejection(get, ChannelClosedError, { reason: "closeAll" }));
  await Promise.all(handles.map((handle) => handle.depth()));
  await ch.closeAll();
  await within(Promise.all(reported));
});

test("select with disabled cases puts each value into each channel once", async (network) => {
  const [a, b] = numbers(2).map(() => network.channel<number>(network.least)) as [
    Channel<number>,
    Channel<number>,
  ];
  const count = 4 * network.size;
  network.go(async () => {
    for (const n of numbers(count)) {
      const cases: Record<string, PutCase | undefined> = { a: a.putCase(n), b: b.putCase(n) };
      for (const _ of numbers(2)) cases[(await select(cases)).key] = undefined;
    }
  });
  const [fromA, fromB] = [a, b].map(async (ch) => {
    const got = [];
    while (got.length < count) got.push(await ch.get());
    return got;
  });
  assert.deepEqual(await fromA, numbers(count));
  assert.deepEqual(await fromB, numbers(count));
  assert.equal(await trySelect([undefined]), undefined);
  await rejection(select({ never: undefined }, { timeout: 20 }), ChannelTimeoutError);
  await rejection(select([], { timeout: 20 }), ChannelTimeoutError);
});

test("a value that one select puts to any of four channels arrives once, and the closing of each is seen", async (network) => {
  const ways = numbers(4).map(() => network.channel<number>(network.least));
  const out = network.channel<number>();
  const count = 20 * network.size;
  network.go(async () => {
    for (const n of numbers(count)) await select(ways.map((way) => way.putCase(n)));
    await Promise.all(ways.map((way) => way.closeAll({ drain: true })));
  });
  let open = ways.length;
  for (const way of ways) {
    network.go(async () => {
      for await (const n of way) await out.put(n);
      if (--open === 0) await out.closeAll({ drain: true });
    });
  }
  const got = [];
  for await (const n of out) got.push(n);
  assert.deepEqual(got.sort((a, b) => a - b), numbers(count));
});

test(
  "select is fair: cases that are always ready are chosen equally often, others never",
  async (network) => {
    const trials = 100 * network.size;
    const [a, b, never] = [network.channel<1>(), network.channel<2>(), network.channel<3>()];
    for (const ch of [a, b]) {
      await Promise.all(numbers(trials).map(() => (ch as Channel<number>).put(1)));
    }
    const counts = { a: 0, b: 0, never: 0 };
    for (const _ of numbers(trials)) counts[(await select({ never, a, b })).key]++;
    const deviation = Math.sqrt(trials / 4);
    assert.equal(counts.never, 0);
    assert.ok(Math.abs(counts.a - trials / 2) < 5 * deviation, JSON.stringify(counts));
  },
  (label) =>
    label === "memory" ? {} : { timed: "a case that does not answer within 10 ms has no chance" },
);

test(
  "non-blocking operations report their outcome on channels of capacity 0, with and without a waiting peer",
  async (network) => {
    const unbuffered = network.channel<number>(0);
    assert.deepEqual(await unbuffered.tryGet(), { status: "empty" });
    assert.equal(await unbuffered.tryPut(1), "full");
    assert.equal(await trySelect([unbuffered, unbuffered.putCase(1)]), undefined);
    const getting = unbuffered.get();
    await until(async () => await unbuffered.tryPut(2) === "ok");
    assert.equal(await getting, 2);
    const putting = unbuffered.put(3);
    await until(async () => (await trySelect({ unbuffered }))?.value === 3);
    await putting;
  },
  unbuffered,
);

test("non-blocking operations report their outcome on channels of capacity 1 that are empty, full and closed", async (network) => {
  const [one, empty] = [network.channel<number>(1), network.channel<number>(1)];
  assert.deepEqual(await empty.tryGet(), { status: "empty" });
  assert.equal((await trySelect([empty, one.putCase(1)]))?.key, 1);
  assert.equal(await one.tryPut(2), "full");
  assert.equal(await trySelect([one.putCase(2)]), undefined);
  assert.deepEqual(await one.tryGet(), { status: "ok", value: 1 });
  assert.deepEqual(await one.tryGet(), { status: "empty" });
  assert.equal(await one.tryPut(3), "ok");
  await one.closeAll({ drain: true });
  assert.deepEqual(await trySelect([one]), { key: 0, value: 3, closed: false });
  await until(async () => (await trySelect([one]))?.closed === true);
  assert.deepEqual(await one.tryGet(), { status: "closed" });
  assert.equal(await one.tryPut(4), "closed");
  assert.deepEqual(await trySelect([one.putCase(4)]), { key: 0, value: undefined, closed: true });
});

test("a closed channel gives its values and then stays closed", async (network) => {
  for (const capacity of new Set([network.least, 1, undefined])) {
    const ch = network.channel<number>(capacity);
    if (capacity !== 0) await ch.put(7);
    await Promise.all([ch, network.own(ch.dup())].map((end) => end.closeAll({ drain: true })));
    const drained = { reason: "drain" } as const;
    await rejection(ch.put(8), ChannelClosedError, drained);
    if (capacity !== 0) assert.equal(await ch.get(), 7);
    for (const _ of numbers(2)) {
      await rejection(ch.get(), ChannelClosedError, drained);
      await rejection(ch.receive(), ChannelClosedError, drained);
      await rejection(ch.put(8), ChannelClosedError, drained);
      assert.equal((await select([ch])).closed, true);
      assert.equal((await select([ch.putCase(8)])).closed, true);
      for await (const _ of ch) assert.fail("the channel has a value");
    }
    await ch.closeAll({ drain: true }); // this would panic in Go
  }
});

test("a select served by another channel leaves the queues of its other channels in order", async (network) => {
  // Go's issue 2075: the select was the last of several waiting ones and left one of them in the queue.
  const [c1, c2, c3] = numbers(3).map(() => network.channel<string>(network.least));
  const first = network.own(c1!.dup()).get();
  const selected = (async () => {
    const chosen = await select({ c1: c1!, c2: c2! });
    assert.equal(chosen.key, "c2");
    await c3!.put("seen");
    return await c1!.get();
  })();
  await pause(50);
  await c2!.put("go");
  assert.equal(await c3!.get(), "seen");
  await c1!.put("one");
  await c1!.put("two");
  assert.deepEqual((await Promise.all([first, selected])).sort(), ["one", "two"]);
});

test("a channel takes as many values as its capacity, and one more for each get", async (network) => {
  for (const capacity of [1, 3]) {
    const ch = network.channel<number>(capacity);
    for (const n of numbers(capacity)) assert.equal(await ch.tryPut(n), "ok");
    const last = ch.put(capacity);
    assert.equal(await ch.tryPut(-1), "full");
    for (const n of numbers(capacity + 1)) assert.equal(await ch.get(), n);
    await last;
    assert.equal(await ch.depth(), 0);
  }
});

test("channels of any capacity, used by gets, puts and selects at once, lose nothing", async (network) => {
  const count = 6 * network.size;
  const { least } = network;
  const channels = [least, least, 2, 3].map((capacity) => network.channel<number>(capacity));
  const got: number[][] = channels.map(() => []);
  const tasks = channels.flatMap((ch, i) => [
    (async () => {
      for (const n of numbers(count)) await ch.put(n);
    })(),
    (async () => {
      for (const _ of numbers(count)) got[i]!.push(await ch.get());
    })(),
  ]);
  tasks.push((async () => {
    const sent = channels.map(() => 0);
    for (;;) {
      const cases = channels.map((ch, i) =>
        sent[i]! < count ? ch.putCase(count + sent[i]!) : undefined
      );
      if (cases.every((each) => each === undefined)) return;
      sent[(await select(cases)).key]!++;
    }
  })());
  tasks.push((async () => {
    const received = channels.map(() => 0);
    for (;;) {
      const cases = channels.map((ch, i) => received[i]! < count ? ch.getCase() : undefined);
      if (cases.every((each) => each === undefined)) return;
      const { key, value } = await select(cases);
      received[key]!++;
      got[key]!.push(value!);
    }
  })());
  await Promise.all(tasks);
  for (const values of got) {
    assert.deepEqual(values.sort((a, b) => a - b), numbers(2 * count));
  }
});

test("a direction is a type and travels", async (network) => {
  const ch = network.channel<number>(1);
  const carrier = network.channel<{ out: SendChannel<number>; in: ReceiveChannel<number> }>();
  await carrier.put({ out: ch.sender, in: ch.receiver });
  const { out, in: inward } = await carrier.get();
  await out.put(1);
  assert.equal(await inward.get(), 1);
  assert.equal((await select({ out: out.putCase(2) })).key, "out");
  assert.equal((await select({ inward })).value, 2);
  // @ts-expect-error a receive-only channel cannot be put into
  assert.throws(() => inward.put(1), TypeError);
  // @ts-expect-error a send-only channel cannot be received from
  assert.throws(() => out.get(), TypeError);
  // @ts-expect-error nor in a select
  await assert.rejects(select([out]), { name: "ChannelConfigError" });
  // @ts-expect-error a receive-only channel cannot be closed
  assert.throws(() => inward.closeAll(), TypeError);
  await Promise.all([out.close(), inward.close()]);
});

/** A fraction in lowest terms. */
type Ratio = readonly [numerator: bigint, denominator: bigint];

function ratio(n: bigint, d: bigint): Ratio {
  const gcd = (a: bigint, b: bigint): bigint => b === 0n ? a : gcd(b, a % b);
  const by = gcd(n < 0n ? -n : n, d);
  return [n / by, d / by];
}

const plus = ([a, b]: Ratio, [c, d]: Ratio) => ratio(a * d + c * b, b * d);
const times = ([a, b]: Ratio, [c, d]: Ratio) => ratio(a * c, b * d);

/** A power series: each coefficient is computed on request. */
interface Series {
  readonly ask: Channel<null>;
  readonly answer: Channel<Ratio>;
}

async function next({ ask, answer }: Series): Promise<Ratio> {
  await ask.put(null);
  return await answer.get();
}

class SeriesNetwork {
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  /** A series whose coefficients `generate` computes, one for each request. */
  #series(generate: () => AsyncGenerator<Ratio>): Series {
    const series = this.#empty();
    this.#serve(series, generate);
    return series;
  }

  #empty(): Series {
    return { ask: this.#network.channel(), answer: this.#network.channel() };
  }

  #serve({ ask, answer }: Series, generate: () => AsyncGenerator<Ratio>): void {
    const coefficients = generate();
    this.#network.go(async () => {
      for await (const _ of ask) await answer.put((await coefficients.next()).value);
    });
  }

  /** The series 1 + x + x² + … */
  ones(): Series {
    return this.#series(async function* () {
      for (;;) yield [1n, 1n];
    });
  }

  add(a: Series, b: Series): Series {
    return this.#series(async function* () {
      for (;;) yield plus(...await Promise.all([next(a), next(b)]));
    });
  }

  multiply(a: Series, b: Series): Series {
    return this.#series(async function* () {
      const [as, bs]: [Ratio[], Ratio[]] = [[], []];
      for (;;) {
        const [x, y] = await Promise.all([next(a), next(b)]);
        as.push(x);
        bs.unshift(y);
        yield as.map((each, i) => times(each, bs[i]!)).reduce(plus);
      }
    });
  }

  /** The integral with this constant. */
  integrate(a: Series, constant: Ratio): Series {
    return this.#series(() => this.#integral(a, constant));
  }

  async *#integral(a: Series, constant: Ratio): AsyncGenerator<Ratio> {
    yield constant;
    for (let n = 1n;; n++) yield times(await next(a), [1n, n]);
  }

  /** Splits a series into two, of which either may be ahead of the other. */
  split(a: Series): [Series, Series] {
    const known: Ratio[] = [];
    let asking: Promise<unknown> = Promise.resolve();
    const read = async (n: number): Promise<Ratio> => {
      while (known.length <= n) {
        const turn = asking.then(async () => {
          if (known.length <= n) known.push(await next(a));
        });
        asking = turn.catch(() => {});
        await turn;
      }
      return known[n]!;
    };
    const one = () =>
      this.#series(async function* () {
        for (let n = 0;; n++) yield await read(n);
      });
    return [one(), one()];
  }

  /** The solution of y′ = y, y(0) = 1, which is its own input. */
  exponential(): Series {
    const series = this.#empty();
    const [out, back] = this.split(series);
    this.#serve(series, () => this.#integral(back, [1n, 1n]));
    return out;
  }
}

async function take(series: Series, count: number): Promise<string[]> {
  const coefficients = [];
  while (coefficients.length < count) coefficients.push((await next(series)).join("/"));
  return coefficients;
}

test("power series are added, multiplied, integrated and fed back", async (network) => {
  const series = new SeriesNetwork(network);
  const count = 2 + network.size;
  const integers = numbers(count, 1).map((n) => `${n}/1`);
  assert.deepEqual(await take(series.multiply(series.ones(), series.ones()), count), integers);
  const twos = series.add(series.ones(), series.ones());
  assert.deepEqual(await take(twos, 3), ["2/1", "2/1", "2/1"]);
  const logarithm = series.integrate(series.ones(), [0n, 1n]); // -log(1 - x)
  assert.deepEqual(
    await take(logarithm, count),
    numbers(count).map((n) => n === 0 ? "0/1" : `1/${n}`),
  );
  let factorial = 1n;
  const inverses = numbers(count).map((n) => `1/${factorial *= n === 0 ? 1n : BigInt(n)}`);
  assert.deepEqual(await take(series.exponential(), count), inverses);
  const [a, b] = series.split(series.exponential());
  let power = 1n;
  const squares = inverses.map((each, i) => {
    if (i > 0) power *= 2n;
    return ratio(power, BigInt(each.slice(2))).join("/");
  });
  assert.deepEqual(await take(series.multiply(a, b), count), squares); // exp(x)² = exp(2x)
});

/** A natural number: a channel that contains its predecessor; zero's channel contains null. */
type Peano = Channel<unknown>;

class PeanoNetwork {
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  async #make(predecessor: Peano | null): Promise<Peano> {
    const number = this.#network.channel<unknown>();
    await number.put(predecessor);
    return number;
  }

  /** Returns the predecessor of a number without removing it. */
  async #predecessor(n: Peano): Promise<Peano | null> {
    const delivery = await n.receive({ timeout: 10_000 });
    const predecessor = delivery.value as Peano | null;
    delivery.accept();
    if (predecessor !== null) this.#network.own(predecessor);
    await n.put(predecessor);
    return predecessor;
  }

  async of(n: number): Promise<Peano> {
    return await this.#make(n === 0 ? null : await this.of(n - 1));
  }

  async count(n: Peano): Promise<number> {
    const predecessor = await this.#predecessor(n);
    return predecessor === null ? 0 : 1 + await this.count(predecessor);
  }

  async add(a: Peano, b: Peano): Promise<Peano> {
    const predecessor = await this.#predecessor(a);
    return predecessor === null ? b : await this.#make(await this.add(predecessor, b));
  }

  async multiply(a: Peano, b: Peano): Promise<Peano> {
    const predecessor = await this.#predecessor(a);
    if (predecessor === null) return await this.of(0);
    return await this.add(b, await this.multiply(predecessor, b));
  }

  async factorial(n: Peano): Promise<Peano> {
    const predecessor = await this.#predecessor(n);
    if (predecessor === null) return await this.of(1);
    return await this.multiply(n, await this.factorial(predecessor));
  }
}

test("numbers that are channels in channels are added and multiplied", async (network) => {
  const peano = new PeanoNetwork(network);
  const [two, three] = [await peano.of(2), await peano.of(3)];
  assert.equal(await peano.count(await peano.add(two, three)), 5);
  assert.equal(await peano.count(await peano.multiply(three, two)), 6);
  const n = network.size > 5 ? 4 : 3;
  const expected = network.size > 5 ? 24 : 6;
  assert.equal(await peano.count(await peano.factorial(await peano.of(n))), expected);
});
