// Starts failing operations and handles none of their rejections: unhandled.ts FILE, with the path of a new database.
// Reports the unhandled rejections: for each operation how often it surfaced, and those that belong to no operation.
import process from "node:process";
import { Channel, pipe, select, serve, trySelect } from "../../mod.ts";
import { send } from "../support/child_side.ts";

type Options = { timeout?: number; signal?: AbortSignal };
type Start = (ch: Channel<unknown>, options: Options) => Promise<unknown>;

const [file, redis] = process.argv.slice(2) as [string, string];
const nowhere = { connection: "amqp://localhost:1", retryTimeout: 50 };
const retrying = { ...nowhere, retryTimeout: 60_000 };

/** A JSON handle on an unreachable broker. It keeps retrying if the operation has a timeout or a signal. */
function inJson(ch: Channel, { timeout, signal }: Options): Channel {
  const about = timeout === undefined && signal === undefined ? nowhere : retrying;
  return new Channel({ ...about, name: ch.name, encoding: "json" });
}

/** Operations that accept a signal. */
const abortable: Record<string, Start> = {
  put: (ch, options) => ch.put(1, options),
  "put of a channel": (ch, options) => ch.put(ch.clone(), options),
  "put with a delay": (ch, options) => ch.put(1, { ...options, delay: 5 }),
  tryPut: (ch, options) => ch.tryPut(1, options),
  get: (ch, options) => ch.get(options),
  receive: (ch, options) => ch.receive(options),
  request: (ch, options) => ch.request(1, options),
  "request in JSON": (ch, options) => inJson(ch, options).request(1, options),
  depth: (ch, options) => ch.depth(options),
  whenEmpty: (ch, options) => ch.whenEmpty(options),
  closeAll: (ch, options) => ch.closeAll(options),
  drain: (ch, options) => ch.closeAll({ ...options, drain: true }),
  delete: (ch, options) => ch.delete(options),
  broadcast: (ch, options) => ch.broadcast(1, options),
  "select a get": (ch, options) => select([ch], options),
  "select a put": (ch, options) => select([ch.putCase(1)], options),
  "next of broadcasts": (ch, options) =>
    ch.broadcasts(options.signal === undefined ? {} : { signal: options.signal }).next(),
  "ready of broadcasts": (ch, options) =>
    ch.broadcasts(options.signal === undefined ? {} : { signal: options.signal }).ready,
  "next of deliveries": (ch, options) =>
    ch.deliveries(options.signal === undefined ? {} : { signal: options.signal }).next(),
  "dead letters": (ch, options) => ch.deadLetters.get(options),
  "the sender's put": (ch, options) => ch.sender.put(1, options),
  "the sender's whenEmpty": (ch, options) => ch.sender.whenEmpty(options),
  "the receiver's get": (ch, options) => ch.receiver.get(options),
};

/** Operations that end by themselves if the broker is unreachable. */
const operations: Record<string, Start> = {
  ...abortable,
  "get of an existing value": (ch) => ch.get({ timeout: 0 }),
  "whenEmpty of now": (ch) => ch.whenEmpty({ timeout: 0 }),
  tryGet: (ch) => ch.tryGet(),
  trySelect: (ch) => trySelect([ch]),
  serve: (ch) => serve(ch, () => {}),
  pipe: (ch) => pipe(ch, ch.clone()),
  next: (ch) => ch[Symbol.asyncIterator]().next(),
  "read of a stream": (ch) => ch.readable().getReader().read(),
  "write to a stream": (ch) => ch.writable().getWriter().write(1),
};
const untimed = ["next of broadcasts", "ready of broadcasts", "next of deliveries"];
const endless = Object.fromEntries(
  Object.entries(abortable).filter(([name]) => !untimed.includes(name)),
);

/** Operations that wait although their channel is attached. */
const waiting: Record<string, Start> = {
  "put into a full channel": (ch, options) => ch.put(2, options),
  "get of nothing": (ch, options) => ch.clone().get(options),
  "receive of nothing": (ch, options) => ch.clone().receive(options),
  "request that nobody serves": (ch, options) => ch.clone().request(1, options),
  "select of nothing": (ch, options) => select([ch.clone(), ch.clone()], options),
  "select of no room": (ch, options) => select([ch.putCase(2)], options),
  "whenEmpty of what waits": (ch, options) => ch.whenEmpty(options),
};

/** Operations that a handle rejects if it is closed in this process. */
const refused: Record<string, Start> = {
  put: (ch) => ch.put(1),
  get: (ch) => ch.get(),
  receive: (ch) => ch.receive(),
  request: (ch) => ch.request(1),
  depth: (ch) => ch.depth(),
  whenEmpty: (ch) => ch.whenEmpty(),
  closeAll: (ch) => ch.closeAll(),
  delete: (ch) => ch.delete(),
  broadcast: (ch) => ch.broadcast(1),
  select: (ch) => select([ch]),
  trySelect: (ch) => trySelect([ch]),
};

const names = new Map<Promise<unknown>, string>();
const surfaced: Record<string, number> = {};
const strays: string[] = [];

process.on("unhandledRejection", (reason, promise) => {
  const name = names.get(promise);
  if (name === undefined) strays.push(String((reason as Error)?.stack ?? reason));
  else surfaced[name]!++;
});

function start(situation: string, name: string, promise: Promise<unknown>): void {
  const title = `${situation}: ${name}`;
  names.set(promise, title);
  surfaced[title] = 0;
}

function startAll(
  situation: string,
  table: Record<string, Start>,
  open: () => Channel,
  options: Options,
) {
  for (const [name, begin] of Object.entries(table)) start(situation, name, begin(open(), options));
}

startAll("refused", operations, () => new Channel(nowhere), {});
startAll("late", endless, () => new Channel(retrying), { timeout: 20 });
const giveUp = new AbortController();
startAll("aborted", abortable, () => new Channel(retrying), { signal: giveUp.signal });
startAll("aborted before", abortable, () => new Channel(retrying), { signal: AbortSignal.abort() });
const left: Channel[] = [];
const leaving = () => left[left.push(new Channel(retrying)) - 1]!;
startAll(
  "closed while it attaches",
  {
    put: abortable.put!,
    get: abortable.get!,
    receive: abortable.receive!,
    depth: abortable.depth!,
    whenEmpty: abortable.whenEmpty!,
    request: abortable.request!,
    select: abortable["select a get"]!,
  },
  leaving,
  {},
);

for (const connection of ["memory:", `sqlite:${file}`, redis]) {
  const open = async () => {
    const ch = new Channel({ connection, capacity: 1 });
    await ch.put(1);
    return ch;
  };
  for (const [name, begin] of Object.entries(waiting)) {
    start(`${connection.slice(0, 6)} late`, name, begin(await open(), { timeout: 20 }));
    start(
      `${connection.slice(0, 6)} aborted`,
      name,
      begin(await open(), { signal: giveUp.signal }),
    );
  }
  const { signal } = giveUp;
  start(
    `${connection.slice(0, 6)} aborted`,
    "next of deliveries",
    (await open()).clone().deliveries({ signal }).next(),
  );
  for (const [name, begin] of Object.entries(refused)) {
    const closed = await open();
    await closed.close();
    start(`${connection.slice(0, 6)} closed`, name, begin(closed, {}));
    const fresh = new Channel({ connection });
    await fresh.close();
    start(`${connection.slice(0, 6)} never attached`, name, begin(fresh, {}));
  }
  const uncloned = new Channel<unknown>({ connection });
  start(`${connection.slice(0, 6)} unfit`, "put", uncloned.put(() => {}));
  start(`${connection.slice(0, 6)} unfit`, "request", uncloned.request(() => {}));
  start(`${connection.slice(0, 6)} unfit`, "broadcast", uncloned.broadcast(() => {}));
  start(`${connection.slice(0, 6)} unfit`, "putCase", select([uncloned.putCase(() => {})]));
}
giveUp.abort();
await Promise.all(left.map((ch) => ch.close()));

// Only pending operations keep the process alive, so that every operation has ended by now.
process.once("beforeExit", () => send({ surfaced, strays }));
