// Random commands by two processes on one channel, compared with a model that is a set. No value is lost, none is
// delivered twice unless marked as redelivered, and values that one process puts and one process gets, without a
// release, stay in order. A failure prints fast-check's seed and path; MODEL_SEED=… and MODEL_RUNS=… repeat it or
// search longer.
import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { Channel } from "../mod.ts";
import { connectionsRest, numbers, pause, within } from "./conformance/fixture.ts";
import { startHome } from "./homes/home_process.ts";
import { type Child, startChild } from "./support/child.ts";
import { Actor, type Reply, type Request } from "./support/model_actor.ts";
import { redisUri } from "./support/redis_setup.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";

const broker = process.env.BROKER;
if (!broker) throw new Error("set BROKER to a broker's URI, or run `deno task test`");
const home = await startHome();
Deno.test.afterAll(() => home[Symbol.asyncDispose]());

/** One of the two peers, in this process or another one. */
interface Peer {
  do(request: Request): Promise<Reply>;
  /** Kills the peer and starts a new one; undefined if it is in this process. */
  restart: ((last?: Request) => Promise<void>) | undefined;
}

class LocalPeer implements Peer {
  readonly restart = undefined;
  readonly #actor = new Actor();

  do(request: Request): Promise<Reply> {
    return this.#actor.do(request);
  }
}

class ChildPeer implements Peer, AsyncDisposable {
  #child!: Child;

  async start(): Promise<this> {
    this.#child = startChild(new URL("programs/model_peer.ts", import.meta.url));
    assert.equal(await this.#child.next(), "ready");
    return this;
  }

  async do(request: Request): Promise<Reply> {
    this.#child.send(request);
    return await this.#child.next() as Reply;
  }

  /** @param last the request that is sent just before the kill */
  async restart(last?: Request): Promise<void> {
    if (last !== undefined) {
      this.#child.send(last);
      await pause(Math.random() * 4);
    }
    await this[Symbol.asyncDispose]();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

/**
 * The expected state. Invariant: each value that was put is in `waiting`, on loan, or taken. Values in `unsure` may
 * exist: they were being put by a killed process. Values in `again` may be redelivered: a killed process had taken
 * them.
 */
class Model {
  readonly waiting = new Set<number>();
  readonly unsure = new Set<number>();
  readonly again = new Set<number>();
  /** Values that were delivered and returned, by a release or a death. */
  readonly lentBefore = new Set<number>();
  readonly loans: { peer: number; loan: number; value: number }[] = [];
  readonly taken: number[][] = [[], []];
  /** How many values each peer has tried to put. */
  readonly puts: number[] = [0, 0];
  /** The last value of each producer that was got, as long as only one peer gets and nothing is returned. */
  readonly last = [-1, -1];
  taker: number | undefined;
  isDisturbed = false;

  /** How many values may be in the channel. */
  readonly capacity: number;

  /** Whether loans count towards the capacity. Otherwise a returned value is accepted by a full channel, too. */
  readonly countsLoans: boolean;

  constructor(capacity = Infinity, countsLoans = true) {
    this.capacity = capacity;
    this.countsLoans = countsLoans;
  }

  /** Returns new values of a peer. */
  values(peer: number, count: number): number[] {
    const first = peer * producer + this.puts[peer]!;
    this.puts[peer]! += count;
    return numbers(count, first);
  }

  put(values: readonly number[]): void {
    for (const value of values) this.waiting.add(value);
    const fresh = [...this.waiting].filter((value) => !this.lentBefore.has(value));
    const count = this.countsLoans ? this.waiting.size + this.loans.length : fresh.length;
    // If loans do not count, each process may hold one value that was sent to an earlier get and is being returned.
    const most = this.capacity + (this.countsLoans ? 0 : this.puts.length);
    assert.ok(count <= most, `${count} values in a channel of capacity ${this.capacity}`);
  }

  /** Records that a value was delivered. */
  handed(peer: number, value: number): void {
    const known = this.waiting.delete(value) || this.unsure.delete(value);
    assert.ok(known || this.again.delete(value), `${value} was got twice or never put`);
    this.taker ??= peer;
    if (this.taker !== peer) this.isDisturbed = true; // values that one peer has read ahead reach the other one later
    if (this.isDisturbed) return;
    const from = Math.floor(value / producer);
    assert.ok(value > this.last[from]!, `${value} came after ${this.last[from]}`);
    this.last[from] = value;
  }

  /** Returns all loans of a peer. */
  returnLoans(peer: number): void {
    this.isDisturbed = true;
    for (const each of this.loans.filter((loan) => loan.peer === peer)) this.giveBack(each);
  }

  giveBack(loan: Model["loans"][number]): void {
    this.isDisturbed = true;
    this.loans.splice(this.loans.indexOf(loan), 1);
    this.lentBefore.add(loan.value);
    this.waiting.add(loan.value);
  }
}

/** The values of the first peer are smaller than this; those of the second start here. */
const producer = 1_000_000;

interface Real {
  readonly peers: readonly Peer[];
  open(peer: number): Promise<void>;
}

type Command = fc.AsyncCommand<Model, Real>;

async function ask(real: Real, peer: number, request: Request): Promise<Reply> {
  const reply = await within(real.peers[peer]!.do(request));
  assert.equal(reply.error, undefined);
  return reply;
}

const command = (
  title: string,
  run: (model: Model, real: Real) => Promise<void>,
  check: (model: Model) => boolean = () => true,
): Command => ({ check, run, toString: () => title });

const who = fc.constantFrom(0, 1);
const few = fc.integer({ min: 1, max: 4 });

const put = fc.tuple(who, few).map(([peer, count]) =>
  command(`${peer} puts ${count}`, async (model, real) => {
    const values = model.values(peer, count);
    await ask(real, peer, { op: "put", values });
    model.put(values);
  })
);

const get = who.map((peer) =>
  command(`${peer} gets`, async (model, real) => {
    const { value } = await ask(real, peer, { op: "get" });
    if (value === undefined) return; // empty, or the other peer has just read it ahead
    model.handed(peer, value);
    model.taken[peer]!.push(value);
  })
);

const abort = fc.tuple(who, fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 })).map((
  [peer, count, after],
) =>
  command(`${peer} gets, puts ${count} and aborts after ${after} ms`, async (model, real) => {
    const values = model.values(peer, count);
    for (const value of values) model.waiting.add(value);
    const { value } = await ask(real, peer, { op: "abort", values, after });
    if (value === undefined) model.isDisturbed = true; // a value that crossed the abort was returned
    else {
      model.handed(peer, value);
      model.taken[peer]!.push(value);
    }
  })
);

const selecting = (op: "select" | "trySelect") =>
  who.map((peer) =>
    command(`${peer} ${op === "select" ? "selects" : "tries to select"}`, async (model, real) => {
      const values = model.values(peer, 1);
      const { value, sent } = await ask(real, peer, { op, values });
      if (sent === 1) return model.put(values);
      if (value === undefined) return; // full, and nothing to get
      model.handed(peer, value);
      model.taken[peer]!.push(value);
    })
  );

const tryPut = fc.tuple(who, few).map(([peer, count]) =>
  command(`${peer} tries to put ${count}`, async (model, real) => {
    const values = model.values(peer, count);
    const { sent } = await ask(real, peer, { op: "tryPut", values });
    model.put(values.slice(0, sent)); // the first values find room, if any do
  })
);

const receive = who.map((peer) =>
  command(`${peer} receives`, async (model, real) => {
    const { value, redelivered, loan } = await ask(real, peer, { op: "receive" });
    if (value === undefined) return;
    const mustTell = model.lentBefore.has(value) || model.again.has(value);
    assert.ok(redelivered || !mustTell, `${value} was redelivered without being marked`);
    model.handed(peer, value);
    model.loans.push({ peer, loan: loan!, value });
  })
);

const settle = (op: "accept" | "release") =>
  fc.nat(20).map((n) =>
    command(`${op} of loan ${n}`, async (model, real) => {
      const each = model.loans[n % model.loans.length]!;
      await ask(real, each.peer, { op, loan: each.loan });
      if (op === "release") return model.giveBack(each);
      model.loans.splice(model.loans.indexOf(each), 1);
      model.taken[each.peer]!.push(each.value);
    }, (model) => model.loans.length > 0)
  );

const close = who.map((peer) =>
  command(`${peer} closes its handle`, async (model, real) => {
    await ask(real, peer, { op: "close" });
    model.returnLoans(peer);
    await real.open(peer);
  })
);

const closeAll = who.map((peer) =>
  command(`${peer} closes for everyone`, async (model, real) => {
    await ask(real, peer, { op: "closeAll" });
    for (const each of [0, 1]) model.returnLoans(each);
    await ask(real, 1 - peer, { op: "awaitClosed" });
    for (const each of [0, 1]) await real.open(each);
  })
);

const kill = fc.integer({ min: 0, max: 3 }).map((count) =>
  command(`1 puts ${count} and is killed`, async (model, real) => {
    const { restart } = real.peers[1]!;
    if (restart === undefined) return;
    const values = model.values(1, count);
    for (const value of values) model.unsure.add(value);
    await restart.call(real.peers[1], count === 0 ? undefined : { op: "put", values });
    model.returnLoans(1);
    for (const value of model.taken[1]!) model.again.add(value);
    await real.open(1);
  })
);

const settling = [settle("accept"), settle("release")];
const commands = [put, put, get, get, abort, receive, selecting("select"), ...settling];
/** No command waits for room, because no other would make room. */
const bounded = [tryPut, tryPut, get, receive, selecting("trySelect"), ...settling];

/** Gets all values that must be left, and asserts that there are no others. */
async function drain(model: Model, channel: Channel<number>, timeout: number): Promise<void> {
  while (model.waiting.size > 0) {
    const value = await channel.get({ timeout: 20_000 }).catch((error) => {
      throw new Error(`lost: ${[...model.waiting]}`, { cause: error });
    });
    model.handed(0, value);
  }
  for (;;) {
    const rest = await channel.get({ timeout }).catch(() => undefined);
    if (rest === undefined) break;
    model.handed(0, rest); // fails unless the model allows it
  }
}

async function check(
  connection: string,
  peers: readonly Peer[],
  among: fc.Arbitrary<Command>[],
  runs: number,
  capacity?: number,
): Promise<void> {
  const seed = process.env.MODEL_SEED;
  const property = fc.asyncProperty(
    fc.commands(among, { maxCommands: 40, size: "max" }),
    async (commands) => {
      const name = `model ${crypto.randomUUID()}`;
      const model = new Model(capacity, !connection.startsWith("amqp"));
      const about = { name, connection, ...capacity === undefined ? {} : { capacity } };
      const channel = new Channel<number>({ ...about, expires: 60_000 });
      const open = async (peer: number) => {
        const { error } = await peers[peer]!.do({ op: "open", ...about });
        assert.equal(error, undefined);
      };
      try {
        await fc.asyncModelRun(async () => {
          await Promise.all([open(0), open(1)]);
          return { model, real: { peers, open } };
        }, commands);
        for (const peer of [0, 1]) {
          await peers[peer]!.do({ op: "close" });
          model.returnLoans(peer);
        }
        // until values that were read ahead are back
        await drain(model, channel, connection.startsWith("memory:") ? 0 : 40);
      } finally {
        for (const peer of peers) await peer.do({ op: "close" });
        await channel.delete();
      }
    },
  );
  await fc.assert(property, {
    numRuns: Number(process.env.MODEL_RUNS ?? runs),
    ...seed === undefined ? {} : { seed: Number(seed) },
    endOnFailure: true, // repeating the run takes long, and may give another result
    verbose: 1,
  });
}

Deno.test("model: memory: two handles behave as the model", async () => {
  await check("memory:model", [new LocalPeer(), new LocalPeer()], [
    ...commands,
    close,
    closeAll,
  ], 300);
  await pause(60);
});

Deno.test("model: memory: two handles behave as the model, with a capacity", async () => {
  await check("memory:model", [new LocalPeer(), new LocalPeer()], bounded, 200, 3);
  await pause(60);
});

/** A random search needs many runs on one runtime only; the other runtimes run a few. */
const runs = process.versions.deno === undefined ? 10 : 30;

for (
  const [label, connection] of [
    ["sqlite", `sqlite:${join(sqliteDirectory(), "model.db")}`],
    ["amqp", broker],
    ["redis", await redisUri()],
    ["zmq", home.addresses[0]!],
  ] as const
) {
  Deno.test(`model: ${label}: two processes behave as the model`, async () => {
    await using child = await new ChildPeer().start();
    await check(connection, [new LocalPeer(), child], [...commands, close, closeAll], runs);
    await connectionsRest();
    await pause(60);
  });

  Deno.test(`model: ${label}: two processes behave as the model, with a capacity`, async () => {
    await using child = await new ChildPeer().start();
    const among = [...bounded, close, closeAll];
    await check(connection, [new LocalPeer(), child], among, Math.ceil(runs / 2), 3);
    await connectionsRest();
    await pause(60);
  });

  Deno.test(`model: ${label}: two processes, one of which is killed, behave as the model`, async () => {
    await using child = await new ChildPeer().start();
    const among = [...commands, ...commands, close, closeAll, kill];
    await check(connection, [new LocalPeer(), child], among, Math.ceil(runs / 2));
    await connectionsRest();
    await pause(60);
  });
}
