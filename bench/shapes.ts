import { Channel, type ChannelOptions } from "../mod.ts";
import { type Child, startChild } from "../tests/support/child.ts";
import { putMany } from "./clients/client.ts";

/** The transport of a shape. */
export type Scheme = "memory" | "sqlite" | "amqp";

/** The means of a shape. */
export interface Bench {
  readonly connection: string;
  /** Returns a channel on the measured transport. It is deleted afterwards. */
  channel<T>(options?: ChannelOptions): Channel<T>;
  /** Runs the measured part; called once. Retained memory is measured when `work` has resolved. */
  measure(work: () => Promise<unknown>): Promise<void>;
}

/** A pattern of use whose cost should be linear. */
export interface Shape {
  readonly name: string;
  /** How many operations for each transport. A shape does not run on a transport without a number. */
  readonly n: Readonly<Partial<Record<Scheme, number>>>;
  /** Whether retained memory is measured. */
  readonly keeps?: boolean;
  /** @returns a function that ends the run, if one is needed */
  run(bench: Bench, n: number): Promise<void | (() => Promise<unknown>)>;
}

const everywhere = (memory: number, sqlite = memory / 4, amqp = memory / 4) => ({
  memory,
  sqlite,
  amqp,
});

const value = { id: 1, name: "foo" };
/** An order in which neighbours are far apart, the same in each run. */
const scattered = (i: number, n: number) => i * 7919 % n;

export const shapes: readonly Shape[] = [
  {
    name: "put, then get, one by one",
    n: everywhere(4000, 400, 400),
    keeps: true,
    run: (bench, n) => putAndGet(bench, n, {}),
  },
  {
    name: "the same, expiring in a minute",
    n: everywhere(4000, 400, 400),
    keeps: true,
    run: (bench, n) => putAndGet(bench, n, { expires: 60_000 }),
  },
  {
    name: "put all, then get all",
    n: everywhere(4000),
    run: (bench, n) => putAllThenGet(bench, n, () => ({})),
  },
  {
    name: "the same, expiring later",
    n: everywhere(4000),
    run: (bench, n) => putAllThenGet(bench, n, (i) => ({ expires: 60_000 + scattered(i, n) })),
  },
  {
    name: "the same, delayed",
    n: { memory: 4000, sqlite: 1000 },
    run: (bench, n) => putAllThenGet(bench, n, (i) => ({ delay: 1 + scattered(i, 50) })),
  },
  {
    name: "the same, with ten priorities",
    n: { memory: 4000, sqlite: 1000 },
    run: (bench, n) => putAllThenGet(bench, n, (i) => ({ priority: i % 10 })),
  },
  {
    name: "the same, with 256 priorities",
    n: { memory: 4000, sqlite: 1000 },
    run: (bench, n) => putAllThenGet(bench, n, (i) => ({ priority: scattered(i, 256) })),
  },
  {
    name: "all expire",
    n: { memory: 4000, sqlite: 1000 },
    keeps: true,
    async run(bench, n) {
      const ch = bench.channel();
      await ch.depth();
      await bench.measure(async () => {
        await putMany(n, (i) => ch.put(value, { expires: 1 + scattered(i, 50) }), 500);
        while (await ch.depth() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      });
    },
  },
  {
    name: "put, then get, while others that have expired are on loan",
    n: { memory: 4000, sqlite: 400 },
    async run(bench, n) {
      const ch = bench.channel<object>();
      await putMany(n, () => ch.put(value, { expires: 1000 }), 500);
      const late = new Promise((resolve) => setTimeout(resolve, 1000));
      const deliveries = await Promise.all(Array.from({ length: n }, () => ch.receive()));
      await late;
      await bench.measure(async () => {
        for (let i = 0; i < n; i++) {
          await ch.put(value);
          await ch.get();
        }
      });
      for (const delivery of deliveries) delivery.accept();
    },
  },
  {
    name: "received, released in order, got",
    n: everywhere(4000, 1000, 500),
    run: (bench, n) => release(bench, n, (i) => i),
  },
  {
    name: "received, released out of order, got",
    n: everywhere(4000, 1000, 500),
    run: (bench, n) => release(bench, n, (i) => scattered(i, n)),
  },
  {
    name: "puts that wait for room",
    n: everywhere(4000, 400, 2000),
    keeps: true,
    async run(bench, n) {
      const ch = bench.channel<object>({ capacity: 100 });
      await ch.depth();
      await bench.measure(async () => {
        const puts = Promise.all(Array.from({ length: n }, () => ch.put(value)));
        for (let i = 0; i < n; i++) await ch.get();
        await puts;
      });
    },
  },
  {
    name: "waiting gets, cancelled in order",
    n: everywhere(4000, 1000, 1000),
    keeps: true,
    run: (bench, n) => giveUp(bench, n, (i) => i),
  },
  {
    name: "waiting gets, cancelled out of order",
    n: everywhere(4000, 1000, 1000),
    keeps: true,
    run: (bench, n) => giveUp(bench, n, (i) => scattered(i, n)),
  },
  {
    name: "broadcasts to a listener that has stopped listening",
    n: everywhere(4000, 500, 500),
    keeps: true,
    async run(bench, n) {
      const ch = bench.channel<Uint8Array>();
      const listener = ch.broadcasts();
      await listener.ready;
      const body = new Uint8Array(1000);
      await bench.measure(() => putMany(n, () => ch.broadcast(body), 100));
      await listener.return!();
    },
  },
  {
    name: "broadcasts to a stopped process",
    n: { sqlite: 500, amqp: 500 },
    keeps: true,
    async run(bench, n) {
      const ch = bench.channel<Uint8Array>({ name: `bench-${crypto.randomUUID()}` });
      await ch.depth();
      const child: Child = startChild(new URL("flatness_peer.ts", import.meta.url), {
        args: [bench.connection, ch.name],
      });
      await child.next(30_000);
      child.kill("SIGSTOP");
      const body = new Uint8Array(1000);
      await bench.measure(() => putMany(n, () => ch.broadcast(body), 100));
      return () => child[Symbol.asyncDispose]();
    },
  },
  {
    name: "references in one value, and their handles",
    n: everywhere(2000),
    keeps: true,
    async run(bench, n) {
      const ch = bench.channel<Channel[]>();
      await ch.depth();
      const named = Array.from({ length: n }, (_, i) => bench.channel({ name: `bench-ref-${i}` }));
      let got: Channel[] = [];
      await bench.measure(async () => {
        await ch.put(named);
        got = await ch.get();
      });
      return async () => {
        await Promise.all([...got, ...named].map((each) => each.close()));
      };
    },
  },
  {
    name: "anonymous channels, each used once and disposed",
    n: everywhere(2000, 200, 100),
    keeps: true,
    async run(bench, n) {
      const ch = bench.channel();
      await ch.depth();
      await bench.measure(async () => {
        for (let i = 0; i < n; i++) {
          const each = ch.clone<number>();
          await each.put(i);
          await each.get();
          await each[Symbol.asyncDispose]();
        }
      });
    },
  },
  {
    name: "small waiting values while many others pass",
    n: { memory: 1000 },
    keeps: true,
    async run(bench, n) {
      const waiting = bench.channel<number>();
      const passing = bench.channel<Uint8Array>();
      const body = new Uint8Array(1500);
      await bench.measure(async () => {
        for (let i = 0; i < n; i++) {
          await waiting.put(i);
          for (let j = 0; j < 10; j++) {
            await passing.put(body);
            await passing.get();
          }
        }
      });
    },
  },
  {
    name: "references in one value, cbor",
    n: { memory: 10_000 },
    keeps: true,
    run: (bench, n) => references(bench, n, "cbor"),
  },
  {
    name: "references in one value, json",
    n: { memory: 10_000 },
    keeps: true,
    run: (bench, n) => references(bench, n, "json"),
  },
  {
    name: "handles to many URIs",
    n: { memory: 2000 },
    keeps: true,
    async run(bench, n) {
      await bench.measure(async () => {
        for (let i = 0; i < n; i++) {
          const connection = `amqp://user:password@host-${i}.invalid`; // nothing is sent there
          await new Channel({ name: "x", connection }).close();
        }
      });
    },
  },
];

interface Terms {
  readonly delay?: number;
  readonly expires?: number;
  readonly priority?: number;
}

async function putAndGet(bench: Bench, n: number, terms: Terms): Promise<void> {
  const ch = bench.channel();
  await ch.depth();
  await bench.measure(async () => {
    for (let i = 0; i < n; i++) {
      await ch.put(value, terms);
      await ch.get();
    }
  });
}

async function putAllThenGet(bench: Bench, n: number, terms: (i: number) => Terms): Promise<void> {
  const ch = bench.channel();
  await ch.depth();
  await bench.measure(async () => {
    await putMany(n, (i) => ch.put(value, terms(i)), 500);
    for (let i = 0; i < n; i++) await ch.get();
  });
}

async function release(bench: Bench, n: number, nth: (i: number) => number): Promise<void> {
  const ch = bench.channel<number>();
  await putMany(n, (i) => ch.put(i), 500);
  await bench.measure(async () => {
    const deliveries = [];
    for (let i = 0; i < n; i++) deliveries.push(await ch.receive());
    for (let i = 0; i < n; i++) deliveries[nth(i)]!.release();
    for (let i = 0; i < n; i++) await ch.get();
  });
}

async function giveUp(bench: Bench, n: number, nth: (i: number) => number): Promise<void> {
  const ch = bench.channel();
  await ch.depth();
  await bench.measure(async () => {
    const stops = Array.from({ length: n }, () => new AbortController());
    const gets = stops.map(({ signal }) => ch.get({ signal }).catch(() => {}));
    for (let i = 0; i < n; i++) stops[nth(i)]!.abort();
    await Promise.all(gets);
  });
}

async function references(bench: Bench, n: number, encoding: "cbor" | "json"): Promise<void> {
  const ch = bench.channel<Channel[]>({ encoding });
  await ch.put(Array.from({ length: n }, (_, i) => bench.channel({ name: `reference ${i}` })));
  let got: Channel[] | undefined;
  await bench.measure(async () => got = await ch.get());
  if (got?.length !== n) throw new Error("not all references arrived"); // retained until here
}
