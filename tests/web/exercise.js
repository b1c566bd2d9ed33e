// What a program does with channels in memory, as plain JavaScript without modules of a runtime: every bundler and every
// runtime of the Web runs this file as it is.

import {
  after,
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelTimeoutError,
  every,
  select,
  serve,
} from "@channelts/channel/memory";

/** The parts, by what they show. Each throws if something is wrong. */
const parts = {
  async "put and get"() {
    const ch = new Channel();
    const value = { text: "é😀", big: 2n ** 70n, map: new Map([[new Date(5), new Set([NaN])]]) };
    value.bytes = new Uint8Array(100_000).fill(7);
    value.self = value;
    await ch.put(value);
    const got = await ch.get();
    check(got !== value && got.self === got && got.text === value.text && got.big === value.big);
    check(got.bytes.length === 100_000 && got.bytes[99_999] === 7);
    check([...got.map.keys()][0].getTime() === 5 && [...got.map.values()][0].has(NaN));
    await ch.delete();
  },

  async "a timeout, and an abort"() {
    const ch = new Channel();
    await fails(ch.get({ timeout: 5 }), ChannelTimeoutError);
    await fails(ch.get({ timeout: 0 }), ChannelTimeoutError);
    const stop = new AbortController();
    const got = ch.get({ signal: stop.signal });
    const reason = new Error("no longer wanted");
    setTimeout(() => stop.abort(reason), 5);
    check(await got.catch((error) => error) === reason);
    await ch.put(1); // the gets that were given up do not take it
    check(await ch.get() === 1);
    await ch.delete();
  },

  async "for await, until closeAll"() {
    const name = unique();
    const [out, jobs] = [new Channel(name), new Channel(name)];
    const got = [];
    const reading = (async () => {
      for await (const job of jobs) got.push(job);
    })();
    for (let i = 0; i < 3; i++) await out.put(i);
    await out.closeAll({ drain: true });
    await reading;
    check(String(got) === "0,1,2");
    await fails(new Channel(name).put(1), ChannelClosedError);
    await new Channel(name).delete();
  },

  async "close, closeAll and delete"() {
    const name = unique();
    const [mine, other] = [new Channel(name), new Channel(name)];
    const pending = fails(mine.get(), ChannelClosedError);
    await mine.close();
    await pending;
    await other.put(1);
    const ended = fails(other.get().then(() => other.get()), ChannelClosedError);
    await new Channel(name).closeAll();
    await ended;
    const again = new Channel(name);
    await again.put(2);
    check(await again.depth() === 1);
    await again.delete();
    await fails(again.get(), ChannelClosedError);
  },

  async "select, after and every"() {
    const [a, b] = [new Channel(), new Channel()];
    check((await select({ a, late: after(5) })).key === "late");
    await b.put("b");
    const chosen = await select({ a, b });
    check(chosen.key === "b" && chosen.value === "b");
    check((await select([a, b.putCase(1)])).key === 1);
    let ticks = 0;
    for await (const _ of every(2)) if (++ticks === 3) break;
    await Promise.all([a.delete(), b.delete()]);
  },

  async "request and serve"() {
    const squares = new Channel();
    const serving = serve(squares, (n) => {
      if (n < 0) throw new RangeError("negative");
      return n * n;
    });
    const answers = await Promise.all([1, 2, 3].map((n) => squares.request(n, { timeout: 5000 })));
    check(String(answers) === "1,4,9");
    const error = await squares.request(-1).catch((error) => error);
    check(error instanceof RangeError && error.message === "negative");
    await squares.closeAll();
    await serving;
    await new Channel(squares.name).delete();
  },

  async "Web Streams"() {
    const [from, to] = [new Channel(), new Channel()];
    const words = ["a", "b", "c"];
    const source = new ReadableStream({
      pull(controller) {
        const word = words.shift();
        if (word === undefined) controller.close();
        else controller.enqueue(word);
      },
    });
    await source.pipeTo(from.writable());
    const upper = new TransformStream({
      transform: (word, controller) => controller.enqueue(word.toUpperCase()),
    });
    const piping = from.readable().pipeThrough(upper).pipeTo(to.writable());
    check(`${await to.get()}${await to.get()}${await to.get()}` === "ABC");
    await from.closeAll();
    await piping;
    await Promise.all([new Channel(from.name).delete(), to.delete()]);
  },

  async "broadcasts"() {
    const news = new Channel();
    const heard = news.broadcasts();
    await heard.ready;
    await news.dup().broadcast({ reload: true });
    check((await heard.next()).value.reload);
    await heard.return();
    await news.delete();
  },

  async "deliveries"() {
    const jobs = new Channel({ maxAttempts: 2 });
    await jobs.put("job");
    (await jobs.receive()).release();
    const again = await jobs.receive();
    check(again.value === "job" && again.attempts === 2);
    again.release();
    const dead = await jobs.deadLetters.receive({ timeout: 5000 });
    check(dead.value === "job");
    dead.accept();
    await jobs.deadLetters.delete();
    await jobs.delete();
  },

  async "capacity"() {
    const full = new Channel({ capacity: 1 });
    await full.put(1);
    check(await full.tryPut(2) === "full");
    const waiting = full.put(2);
    check(await full.get() === 1);
    await waiting;
    const meeting = new Channel({ capacity: 0 });
    const [, got] = await Promise.all([meeting.put("hand to hand"), meeting.get()]);
    check(got === "hand to hand");
    await Promise.all([full.delete(), meeting.delete()]);
  },

  async "a channel inside a value"() {
    const [jobs, inner] = [new Channel(), new Channel()];
    await jobs.put({ replyTo: inner });
    const { replyTo } = await jobs.get();
    await replyTo.put(5);
    check(await inner.get() === 5);
    await Promise.all([jobs.delete(), inner.delete()]);
  },

  async "a loop lets timers run"() {
    const ch = new Channel();
    let isOver = false;
    setTimeout(() => isOver = true, 0);
    for (let i = 0; i < 200_000 && !isOver; i++) {
      await ch.put(i);
      await ch.get();
    }
    check(isOver || runsOnWorkerd);
    await ch.delete();
  },

  async "schemes that need Node's modules"() {
    for (const [scheme, uri] of [["amqp:", "amqp://127.0.0.1:1"], ["sqlite:", "sqlite:./x.db"]]) {
      const error = await (async () => await new Channel({ connection: uri }).put(1))()
        .catch((error) => error);
      if (!(error instanceof ChannelConfigError) || !error.message.includes(scheme)) throw error;
    }
  },
};

/** There the clock stands still while code runs. */
const runsOnWorkerd = "WebSocketPair" in globalThis;

/** Runs all parts. @returns their names */
export async function exercise() {
  for (const [name, part] of Object.entries(parts)) {
    try {
      await within(part());
    } catch (cause) {
      throw new Error(`${name}: ${cause?.stack ?? cause}`, { cause });
    }
  }
  return Object.keys(parts);
}

let names = 0;

/** Returns a name that no other channel of this isolate has. */
function unique() {
  return `exercise ${names++} ${crypto.randomUUID()}`;
}

function check(condition) {
  if (!condition) throw new Error("the check failed");
}

async function fails(promise, Class) {
  const error = await promise.then(() => undefined, (error) => error);
  if (!(error instanceof Class)) throw error ?? new Error(`no ${Class.name}`);
}

/** Rejects if a promise does not settle. */
async function within(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it took more than 20 s")), 20_000);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
