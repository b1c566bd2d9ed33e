// Repeats operations with each of their outcomes and measures what they leave: leaks.ts CONNECTION ROUNDS MOST
// [PATTERN], with the most bytes that a round may leave and a regular expression on the titles of shapes. For each shape, it sends the bytes that a round leaves, or how
// many of the objects that its rounds made were not collected. Over a network, the connection is also lost while
// operations are running; the titles of those shapes begin with "lost".
import process from "node:process";
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";
import { after, Channel, Connection, pipe, select, serve, trySelect } from "../../mod.ts";
import { handleOf } from "../../src/handle/handle.ts";
import { send } from "../support/child_side.ts";
import { collector } from "../support/garbage.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";

const [connection, count, most, pattern = ""] = process.argv.slice(2) as [
  string,
  string,
  string,
  string?,
];
const ROUNDS = Number(count);
/** The bytes that a round may leave. Fewer are not measured again. */
const MOST = Number(most);
/** How many rounds run at a time if a round waits for time to pass. */
const WIDTH = 500;
/** How often growth is measured until it ends. A leak never ends. */
const TRIES = 10;
/**
 * Bytes that may stay: compiled code and caches, and more of them with sockets; on Bun also garbage that a collection
 * leaves to the next one.
 */
const ALLOWANCE = process.versions.bun !== undefined
  ? 131_072
  : /^(memory|sqlite):/.test(connection)
  ? 8192
  : 32_768;

const collect = (await collector())!;
const failed = (error: unknown) => void error;

/**
 * Returns the bytes of live objects. A collection takes most of the time of this program. One that frees objects may
 * call finalizers, which leave garbage to the next.
 *
 * @param enough no collection follows one that leaves no more than this
 */
async function heap(enough = 0): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < 3; i++) {
    await collect();
    const now = await bytes();
    if (now <= enough || (now > least - 1024 && i > 0)) return now;
    least = now;
  }
  return least;
}

async function bytes(): Promise<number> {
  if (process.versions.bun === undefined) {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }
  const jsc = await import("bun" + ":jsc") as {
    heapStats(): { heapSize: number; extraMemorySize: number };
  };
  return jsc.heapStats().heapSize;
}

/** A pattern of use with one channel for all rounds, each of which must leave nothing. */
type Shape = (ch: Channel<unknown>, signal: AbortSignal) => (i: number) => Promise<unknown>;

const never = new Channel({ connection });

async function aborted(operate: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const control = new AbortController();
  const outcome = operate(control.signal).catch(failed);
  control.abort();
  await outcome;
}

/** Shapes whose rounds run one after the other. */
const single: Record<string, Shape> = {
  "put and get": (ch) => async (i) => {
    await ch.put(i);
    await ch.get();
  },
  "get and put": (ch) => async (i) => {
    const got = ch.get();
    await ch.put(i);
    await got;
  },
  "get with a signal that lives on": (ch, signal) => async (i) => {
    const got = ch.get({ signal, timeout: 60_000 });
    await ch.put(i, { signal, timeout: 60_000 });
    await got;
  },
  "get of nothing": (ch) => () => ch.get({ timeout: 0 }).catch(failed),
  tryGet: (ch) => () => ch.tryGet(),
  "get that is aborted": (ch) => () => aborted((signal) => ch.get({ signal })),
  "get that is aborted, beside one that waits": (ch) => {
    ch.get().catch(failed);
    return () => aborted((signal) => ch.get({ signal }));
  },
  "receive and accept": (ch) => async (i) => {
    await ch.put(i);
    (await ch.receive()).accept();
  },
  "receive and release": (ch) => async (i) => {
    await ch.put(i);
    (await ch.receive()).release();
    await ch.get();
  },
  "receive that is aborted": (ch) => () => aborted((signal) => ch.receive({ signal })),
  "put that cannot be copied": (ch) => () => ch.put(() => {}).catch(failed),
  "put that is aborted": (ch) => () =>
    aborted((signal) => ch.put(1, { signal })).then(() => ch.tryGet()),
  depth: (ch) => () => ch.depth(),
  broadcast: (ch) => (i) => ch.broadcast(i),
  "broadcasts, received and left": (ch) => async (i) => {
    const listener = ch.broadcasts();
    await listener.ready;
    const next = listener.next();
    await ch.broadcast(i);
    await next;
    const last = listener.next();
    await listener.return();
    await last;
  },
  "select, one of whose cases never happens": (ch) => async (i) => {
    const chosen = select([ch, never, after(60_000)]);
    await ch.put(i);
    await chosen;
  },
  "select of an existing value": (ch) => async (i) => {
    await ch.put(i);
    await select([ch, never]);
  },
  "select of a put": (ch) => async (i) => {
    await select([never, ch.putCase(i)]);
    await ch.get();
  },
  "select that is aborted": (ch) => () => aborted((signal) => select([ch, never], { signal })),
  "select of nothing": (ch) => () => trySelect([ch, never]),
  "iterator that is left": (ch) => async () => {
    const iterator = ch[Symbol.asyncIterator]();
    const next = iterator.next();
    await iterator.return!();
    await next;
  },
  "loop over deliveries that is left": (ch) => async (i) => {
    await ch.put(i);
    for await (const _ of ch.deliveries()) break;
    await ch.get();
  },
  "stream that is cancelled": (ch) => async (i) => {
    await ch.put(i);
    const reader = ch.readable().getReader();
    await reader.read();
    const read = reader.read();
    await reader.cancel();
    await read;
  },
  "stream that is written to": (ch) => async (i) => {
    const writer = ch.writable().getWriter();
    await writer.write(i);
    await writer.close();
    await ch.get();
  },
  "pipe that is aborted": (ch) => () => aborted((signal) => pipe(never, ch, { signal })),
  "request and reply": (ch, signal) => {
    serve(ch, (value) => value, { signal }).catch(failed);
    return (i) => ch.request(i);
  },
  "request and error": (ch, signal) => {
    serve(ch, () => Promise.reject(new Error("the handler's")), { signal }).catch(failed);
    return (i) => ch.request(i).catch(failed);
  },
  "request that is aborted": (ch) => async () => {
    await aborted((signal) => ch.request(1, { signal }));
    await ch.tryGet();
  },
  "a reference to a channel": (ch) => async () => {
    await ch.put(never);
    await ch.get();
  },
};

/** Shapes whose rounds wait for time to pass, so that many run at a time. */
const wide: Record<string, Shape> = {
  "get that times out": (ch) => () => ch.get({ timeout: 1 }).catch(failed),
  "receive that times out": (ch) => () => ch.receive({ timeout: 1 }).catch(failed),
  "select that times out": (ch) => () => select([ch, never], { timeout: 1 }).catch(failed),
  "put into a full channel": (ch) => {
    const full = new Channel({ connection, name: `${ch.name}-full`, capacity: 1 });
    const filled = full.put(0);
    return () => filled.then(() => full.put(1, { timeout: 1 })).catch(failed);
  },
  "gets of a broker that is away": () => {
    const ch = new Channel({ connection: "amqp://localhost:1", retryTimeout: 60_000 });
    ch.get({ timeout: 50_000 }).catch(failed);
    return () => ch.get({ timeout: 1 }).catch(failed);
  },
};

/** A pattern of use whose objects must be collected once the round has ended. */
type Makes = (made: (...objects: object[]) => void) => Promise<unknown>;

const open = (made: (...objects: object[]) => void, options = {}) => {
  const ch = new Channel<unknown>({ connection, ...options });
  made(ch, handleOf(ch)!);
  return ch;
};
const nowhere = { connection: "amqp://localhost:1", retryTimeout: 0 };

/** Shapes whose rounds make handles of their own. */
const handles: Record<string, Makes> = {
  "a handle that is disposed of": async (made) => {
    await using ch = open(made);
    await ch.put(1);
  },
  "a handle whose get is given up by its close": async (made) => {
    const ch = open(made);
    const got = ch.get().catch(failed);
    await ch.depth();
    await ch.close();
    await got;
  },
  "a handle whose channel is closed for everyone": async (made) => {
    const ch = open(made);
    const got = ch.get().catch(failed);
    await ch.closeAll();
    await got;
  },
  "a handle whose channel is deleted": async (made) => {
    const ch = open(made);
    await ch.put(1);
    await ch.delete();
  },
  "a handle that made a request": async (made) => {
    const ch = open(made);
    const stop = new AbortController();
    const serving = serve(ch, (value) => value, { signal: stop.signal });
    await ch.request(1);
    stop.abort();
    await serving;
    await ch[Symbol.asyncDispose]();
  },
  "a handle whose request times out": async (made) => {
    await using ch = open(made);
    await ch.request(1, { timeout: 1 }).catch(failed);
  },
  "a handle whose request in JSON is aborted": async (made) => {
    await using ch = open(made, { encoding: "json" });
    await aborted((signal) => ch.request(1, { signal }));
  },
  "a handle that listened": async (made) => {
    await using ch = open(made);
    const listener = ch.broadcasts();
    await listener.ready;
    await listener.return();
  },
  "a handle that is forgotten after a select": async (made) => {
    const ch = open(made);
    await select([ch], { timeout: 1 }).catch(failed);
  },
  "a handle that is forgotten while an iterator waits that was left": async (made) => {
    const ch = open(made);
    const iterator = ch[Symbol.asyncIterator]();
    const next = iterator.next();
    await iterator.return!();
    await next;
  },
  "a handle whose first put fails, and its value": async (made) => {
    const value = { what: "a value" };
    made(value);
    await open(made, nowhere).put(value).catch(failed);
  },
  "a handle whose first put is aborted, and its value": async (made) => {
    const value = { what: "a value" };
    made(value);
    const ch = open(made, { ...nowhere, retryTimeout: 60_000 });
    await aborted((signal) => ch.put(value, { signal }));
  },
  "a handle whose first get times out": async (made) => {
    await open(made, { ...nowhere, retryTimeout: 60_000 }).get({ timeout: 1 }).catch(failed);
  },
  "a handle whose first broadcast fails": async (made) => {
    await open(made, nowhere).broadcast(1).catch(failed);
  },
  "a handle whose first request fails": async (made) => {
    await open(made, nowhere).request(1).catch(failed);
  },
  "a handle that is closed before it is used": async (made) => {
    await open(made).close();
  },
};

/** How often a connection is lost, and how many operations are running each time. */
const LOSSES = 5;
const UNDER_WAY = 20;

/** A connection through a proxy. Disposal cuts it permanently. */
interface Way extends AsyncDisposable {
  readonly connection: Connection;
  cut(): void;
}

// A connection that is lost within two seconds is restored with growing pauses, so the clock of this program is
// advanced.
const { now } = performance;
let ahead = 0;
performance.now = () => now.call(performance) + ahead;

async function openWay(retryTimeout: number): Promise<Way> {
  const url = new URL(connection);
  const framing = url.protocol === "zmq:" ? "zmtp" : "amqp";
  const proxy: Proxy = await startProxy(Number(url.port || 5672), framing);
  url.host = `127.0.0.1:${proxy.port}`;
  let isOpen = true;
  return {
    connection: new Connection(url.href, { retryTimeout }),
    cut: () => {
      if (proxy.connections === 0) throw new Error("no connection is open");
      ahead += 3000;
      proxy.cut();
    },
    async [Symbol.asyncDispose]() {
      if (!isOpen) return;
      isOpen = false;
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/**
 * Starts operations on a channel whose connection is then lost, and ends them after the loss. Its waiters wait before
 * the loss. `direct` is a handle on the same channel with a connection that is not lost.
 */
type Loss = (ch: Channel<unknown>, direct: Channel<unknown>, lose: Lose) => Promise<unknown>;
type Lose = () => Promise<void>;

/** The promises and signals of operations: if an operation is retained, they are too. */
let begun: WeakRef<object>[] = [];

function many<T>(
  begin: (i: number, signal: AbortSignal) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  return Promise.allSettled(Array.from({ length: UNDER_WAY }, (_, i) => {
    const { signal } = new AbortController();
    const promise = begin(i, signal);
    begun.push(new WeakRef(promise), new WeakRef(signal));
    return promise;
  }));
}
/** Puts the values that the operations that were not rejected wait for. */
const putAll = (direct: Channel<unknown>) => many((i) => direct.put(i));

const losses: Record<string, Loss> = {
  put: async (ch, _, lose) => {
    const puts = many((i, signal) => ch.put({ i }, { signal }));
    await turn();
    await lose();
    await puts;
  },
  get: async (ch, direct, lose) => {
    const gets = many((_, signal) => ch.get({ signal }));
    await ch.depth();
    await lose();
    await putAll(direct);
    await gets;
  },
  "get that is aborted after it": async (ch, _, lose) => {
    const control = new AbortController();
    const gets = many(() => ch.get({ signal: control.signal }));
    await ch.depth();
    await lose();
    control.abort();
    await gets;
  },
  receive: async (ch, direct, lose) => {
    const receives = many((_, signal) =>
      ch.receive({ signal }).then((delivery) => delivery.accept())
    );
    await ch.depth();
    await lose();
    await putAll(direct);
    await receives;
  },
  "delivery on loan": async (ch, direct, lose) => {
    await putAll(direct);
    const received = await many((_, signal) => ch.receive({ signal }));
    await lose();
    for (const each of received) if (each.status === "fulfilled") each.value.accept();
  },
  "next of deliveries": async (ch, direct, lose) => {
    const iterator = ch.deliveries();
    const nexts = many(() => iterator.next());
    await ch.depth();
    await lose();
    await direct.put(1);
    await iterator.return!();
    await nexts;
  },
  tryGet: async (ch, direct, lose) => {
    await putAll(direct);
    const gets = many((_, signal) => ch.tryGet({ signal }));
    await turn();
    await lose();
    await gets;
  },
  select: async (ch, direct, lose) => {
    const beside = ch.clone();
    const selects = many((_, signal) => select([beside, ch, after(60_000_000)], { signal }));
    await ch.depth();
    await lose();
    await putAll(direct);
    await selects;
    await beside[Symbol.asyncDispose]();
  },
  request: async (ch, direct, lose) => {
    const stop = new AbortController();
    let answer = (_: unknown) => {};
    const answered = new Promise((resolve) => answer = resolve);
    const serving = serve(direct, () => answered, { signal: stop.signal });
    const requests = many((i, signal) => ch.request(i, { signal }));
    await ch.depth();
    await lose();
    answer(1);
    await requests;
    stop.abort();
    await serving;
  },
  broadcast: async (ch, _, lose) => {
    const broadcasts = many((i, signal) => ch.broadcast(i, { signal }));
    await turn();
    await lose();
    await broadcasts;
  },
  broadcasts: async (ch, direct, lose) => {
    const listener = ch.broadcasts();
    await listener.ready;
    const nexts = many(() => listener.next());
    await lose();
    await direct.broadcast(1);
    await listener.return();
    await nexts;
  },
  depth: async (ch, _, lose) => {
    const depths = many((_, signal) => ch.depth({ signal }));
    await turn();
    await lose();
    await depths;
  },
  whenEmpty: async (ch, direct, lose) => {
    await direct.put(1);
    const waits = many((_, signal) => ch.whenEmpty({ signal }));
    await ch.depth();
    await lose();
    await direct.tryGet();
    await waits;
  },
};

/** Loses the connection while the operations of a shape are running. Afterwards the channel is empty. */
async function loseOnce(loss: Loss, ch: Channel<unknown>, direct: Channel<unknown>, way: Way) {
  await loss(ch, direct, async () => {
    way.cut();
    await turn();
  });
  await ch.depth(); // it is connected again
  for (let isEmpty = false; !isEmpty;) {
    const found = await Promise.all(Array.from({ length: UNDER_WAY }, () => direct.tryGet()));
    isEmpty = found.some(({ status }) => status === "empty");
  }
}

/** Counts the objects that operations leave on a channel whose connection is lost several times. */
async function keptByLosses(loss: Loss): Promise<{ made: number; kept: number }> {
  await using way = await openWay(60_000);
  await using ch = new Channel<unknown>({ connection: way.connection });
  await using direct = new Channel<unknown>({ connection, name: ch.name });
  await ch.depth();
  begun = [];
  for (let i = 0; i < LOSSES; i++) await loseOnce(loss, ch, direct, way);
  return await keptIn(begun);
}

/**
 * Resolves when a handle is attached whose operations are not retried. They wait for one second, in which a busy machine
 * may not open a connection.
 */
async function attached(ch: Channel<unknown>): Promise<void> {
  for (const last = performance.now() + 60_000;;) {
    try {
      await ch.depth();
      return;
    } catch (error) {
      if (performance.now() > last) throw error;
    }
  }
}

/** Counts the objects of a handle whose operations are not retried after a loss. */
function lostForGood(loss: Loss): Makes {
  return async (made) => {
    await using way = await openWay(0);
    await using direct = new Channel<unknown>({ connection });
    await direct.depth();
    const ch = new Channel<unknown>({ connection: way.connection, name: direct.name });
    made(way.connection, ch, handleOf(ch)!);
    await attached(ch);
    await loss(ch, direct, async () => await way[Symbol.asyncDispose]());
    await ch.close();
    await direct.delete();
  };
}

async function repeat(round: (i: number) => Promise<unknown>, rounds: number, width: number) {
  for (let i = 0; i < rounds; i += width) {
    if (width === 1) await round(i);
    else await Promise.all(Array.from({ length: width }, (_, j) => round(i + j)));
  }
}

/**
 * Returns the bytes that a round leaves. If memory has grown, it is measured again with as many rounds: code is
 * compiled and cached only once, but a leak grows in every round.
 */
async function leftBy(shape: Shape, width: number): Promise<number> {
  const stop = new AbortController();
  const ch = new Channel<unknown>({ connection });
  const round = shape(ch, stop.signal);
  await repeat(round, ROUNDS, width);
  const rounds = 4 * ROUNDS;
  let before = await heap();
  let least = Infinity;
  for (let i = 0; i < TRIES && least > MOST; i++) {
    await repeat(round, rounds, width);
    const after = await heap(before + ALLOWANCE + MOST * rounds);
    least = Math.min(least, Math.max(0, after - before - ALLOWANCE) / rounds);
    before = after;
  }
  stop.abort();
  await ch[Symbol.asyncDispose]();
  return least;
}

/** Returns how many objects twenty rounds made, and how many of them still exist. */
async function keptOf(makes: Makes): Promise<{ made: number; kept: number }> {
  const refs: WeakRef<object>[] = [];
  const made = (...objects: object[]) =>
    void refs.push(...objects.map((each) => new WeakRef(each)));
  // Not all at once: operations that do not wait for a connection are cancelled after one second.
  await repeat(() => makes(made), 20, 5);
  return await keptIn(refs);
}

/**
 * Counts the objects that are not collected. A leak keeps its objects forever, but an answer that a busy machine delays
 * keeps some for seconds. Bun's engine may keep some forever, so no time is lost there.
 */
async function keptIn(refs: WeakRef<object>[]): Promise<{ made: number; kept: number }> {
  let kept = refs.length;
  const tries = process.versions.bun === undefined ? 60 : 20;
  for (let i = 0; i < tries && kept > 0; i++) {
    if (i >= 20) await pause(250);
    await collect();
    kept = refs.filter((ref) => ref.deref() !== undefined).length;
  }
  return { made: refs.length, kept };
}

const wanted = new RegExp(pattern);
for (const [table, width] of [[single, 1], [wide, WIDTH]] as const) {
  for (const [title, shape] of Object.entries(table)) {
    if (wanted.test(title)) send({ title, bytes: await leftBy(shape, width) });
  }
}
for (const [title, makes] of Object.entries(handles)) {
  if (wanted.test(title)) send({ title, ...await keptOf(makes) });
}
if (/^(amqp|zmq):/.test(connection)) {
  for (const [title, loss] of Object.entries(losses)) {
    if (!wanted.test(`lost: ${title}`)) continue;
    send({ title: `lost: ${title}`, ...await keptByLosses(loss) });
    send({ title: `lost for good: ${title}`, ...await keptOf(lostForGood(loss)) });
  }
}
send("over");
process.exit();
