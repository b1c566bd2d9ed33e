// What the scripts of one link see after those of another, or of its own former connections. Each test has a channel of its own.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { Channel, type ChannelConnectionError, Connection } from "../mod.ts";
import { keyOf } from "../src/transports/redis/channel_key.ts";
import { RedisGetter, type RedisGetterOwner } from "../src/transports/redis/gets/redis_getter.ts";
import { RedisEvents } from "../src/transports/redis/redis_events.ts";
import { RedisOutbox } from "../src/transports/redis/puts/redis_outbox.ts";
import { compose } from "../src/transports/redis/scripts/compose.ts";
import { refusedBy } from "../src/transports/redis/failure.ts";
import { RedisSettlements } from "../src/transports/redis/gets/redis_settlements.ts";
import type { Claim } from "../src/transports/transport.ts";
import { ProcessRef } from "../src/transports/remote/process_ref.ts";
import { newStats } from "../src/transports/stats.ts";
import { unknownOutcome } from "../src/transports/remote/outage.ts";
import { numbers, pause, until } from "./conformance/fixture.ts";
import { BareLink } from "./redis/bare_link.ts";
import { startRedis } from "./support/redis.ts";
import { type Admin, withAdmin } from "./support/redis_setup.ts";

const redis = await startRedis();
redis.unref();
const { uri } = redis;
let channels = 0;

/** Connects links on one new channel. */
async function connectAll(count: number): Promise<BareLink[]> {
  const name = `channel ${++channels}`;
  return await Promise.all(numbers(count).map(() => BareLink.connect(uri, name)));
}

/** Resolves when no link is connected: a connection is closed in a moment after its last use. */
async function connectionsClosed(): Promise<void> {
  await withAdmin(
    uri,
    (admin) =>
      until(async () =>
        !/name=(?:ChannelTS|other)/.test(await admin.sendCommand(["CLIENT", "LIST"]))
      ),
  );
}

Deno.test("redis: an attachment continues the loans of all former ones, also of one whose answer was lost", async () => {
  const [one, two, three, four] = await connectAll(4) as [BareLink, BareLink, BareLink, BareLink];
  await one.attach();
  await one.put(["a"], { number: 1 });
  const held = [await one.take(), "a"] as [string, string];
  await one.session.close();
  assert.deepEqual(await two.attach([one], [held]), [held[0]]); // the answer is lost
  await two.session.close();
  assert.deepEqual(await three.attach([one], [held]), []); // it belongs to the second
  assert.deepEqual(await four.attach([one, two], [held]), [held[0]]);
  await Promise.all([three, four].map(({ session }) => session.close()));
});

Deno.test("redis: a put of a former connection that arrives after the new attachment has no effect", async () => {
  const [one, two] = await connectAll(2) as [BareLink, BareLink];
  await one.attach();
  assert.deepEqual(await one.put(["a"], { number: 1 }), [1]);
  await two.attach([one]);
  assert.deepEqual(await two.put(["b"], { number: 2, isAgain: true }), [1]);
  await assert.rejects(one.put(["b"], { number: 2 }), /LEFT/);
  assert.equal(await two.depth(), 2);
  await two.session.close();
});

Deno.test("redis: puts that follow a refused script are refused, too, so that no copy of the refused one counts as put", async () => {
  const [one, two] = await connectAll(2) as [BareLink, BareLink];
  await one.attach();
  assert.deepEqual(await one.put(["a"], { number: 1 }), [1]);
  // The script with number 2 is refused.
  const later = [
    one.put(["c"], { number: 3, previous: 2 }),
    one.put(["d"], { number: 4, previous: 3 }),
  ];
  for (const each of later) await assert.rejects(each, /GAP/);
  assert.equal(one.session.isLost, true); // what follows must not overtake them
  await two.attach([one]);
  assert.equal(await two.depth(), 1);
  const copies = [
    two.put(["a", "b"], { number: 1, isAgain: true }),
    two.put(["c"], { number: 3, previous: 2, isAgain: true }),
  ];
  assert.deepEqual(await Promise.all(copies), [[1, 1], [1]]);
  assert.equal(await two.depth(), 3);
  await two.run("drain");
  assert.deepEqual(await two.put(["f"], { number: 9, previous: 8 }), [-1]); // nothing is overtaken any more
  await two.session.close();
});

Deno.test("redis: a link does not continue a loan with a message that has got the number of one that the server has lost", async () => {
  const [one, two] = await connectAll(2) as [BareLink, BareLink];
  await one.attach();
  await one.put(["new", "mine"], { number: 1 });
  const [first, second] = [await one.take(), await one.take()] as [string, string];
  await one.run("release", first, "-", second, "-");
  assert.deepEqual(await two.attach([one], [[first, "lost"], [second, "mine"]]), [second]);
  assert.deepEqual(await two.attach([one], [[first, ""]]), []);
  assert.equal(await two.depth(), 1);
  await Promise.all([one, two].map(({ session }) => session.close()));
});

Deno.test("redis: a put that is refused as it is sent again has an unknown outcome", async () => {
  const failure = (error: unknown) => refusedBy("put", uri, error);
  const outbox = new RedisOutbox(newStats(), new ProcessRef(), 20_000, {
    name: "jobs",
    outageError: () => assert.fail(),
    refusal: (error, wasSent, id) => wasSent ? unknownOutcome(failure(error), id) : failure(error),
    tooLarge: () => assert.fail(),
    unreplicated: () => assert.fail(),
    foundRoom() {},
  });
  const put = (id: string) =>
    new Promise<void>((taken, reject) =>
      outbox.put({
        message: { body: new Uint8Array(), contentType: "", id },
        settled: false,
        taken,
        reject,
      })
    );
  const destination = {
    capacity: undefined,
    largest: 1000,
    hasClaimsHere: () => false,
    put: () => new Promise<number[]>(() => {}),
    unask() {},
    noteDue() {},
    fullChanged() {},
  };
  outbox.open(destination);
  const sent = put("sent");
  await Promise.resolve(); // it is sent at the end of the turn
  outbox.lost();
  const unsent = put("unsent");
  outbox.open({
    ...destination,
    put: () => Promise.reject(new Error("OOM command not allowed")),
  });
  const outcomes = await Promise.allSettled([sent, unsent]);
  const ids = outcomes.map((outcome) =>
    outcome.status === "rejected" && (outcome.reason as ChannelConnectionError).messageId
  );
  assert.deepEqual(ids, ["sent", undefined]);
});

Deno.test("redis: a question for the depth, the stats or room leaves no key without a time to live on a leased channel", async () => {
  for (const [question, ...args] of [["depth"], ["stats"], ["ask", "1", ""]] as const) {
    const [one, two] = await connectAll(2) as [BareLink, BareLink];
    await one.attach([], [], "60000", "2");
    await two.attach();
    await one.put(["a"], { number: 1 });
    await two.take();
    await two.session.close();
    await withAdmin(uri, async (admin) => {
      await until(async () => { // the server has noticed the death
        await one.run(question, ...args);
        return await admin.exists(`${one.key}:ready`) === 1;
      });
      const keys = await admin.keys(`${one.key}*`);
      assert.ok(keys.includes(`${one.key}:tries`), String(keys));
      for (const key of keys) assert.ok(await admin.pTTL(key) > 0, `${question}: ${key}`);
    });
    await one.session.close();
  }
});

/** Has all messages of a channel expire that may expire. */
async function expireAll(admin: Admin, { key }: BareLink): Promise<void> {
  const ends = `${key}:ends`;
  await admin.sendCommand(["ZUNIONSTORE", ends, "1", ends, "WEIGHTS", "0"]);
}

/** Puts messages that expire when the test says so. */
async function putExpiring(link: BareLink, count: number): Promise<void> {
  const messages = numbers(count).flatMap((
    i,
  ) => [String(i + 1), ...["1", "0", "", "600000", '["",0]\n']]);
  await link.run("put", "0", "0", "0", ...messages);
}

Deno.test("redis: a get with timeout 0 finds the value that is behind many that have expired", async () => {
  const [link] = await connectAll(1) as [BareLink];
  await link.attach();
  await putExpiring(link, 1000);
  await link.put(["kept"], { number: 2000 });
  const connection = new Connection(uri);
  const channel = new Channel<Uint8Array>({ name: `channel ${channels}`, connection });
  await channel.depth(); // attached
  await withAdmin(uri, (admin) => expireAll(admin, link));
  const loan = await channel.receive({ timeout: 0 }).catch((error) => error);
  assert.equal(loan.name, "ChannelDecodeError", String(loan)); // its body is no value
  await channel.close();
  await link.session.close();
  await connectionsClosed();
});

Deno.test("redis: the claims of a closed channel end when a script that looks drops the last value", async () => {
  const [link] = await connectAll(1) as [BareLink];
  await link.attach();
  await putExpiring(link, 300);
  await withAdmin(uri, async (admin) => {
    // So it is after much went back to many claims, of which some were served.
    await admin.hSet(`${link.key}:meta`, { closed: "1", unserved: "1" });
    await admin.zAdd(`${link.key}:takers`, { score: 1, value: `${link.holder} 1 -` });
    const terms = await admin.hKeys(`${link.key}:terms`);
    await admin.hSet(`${link.key}:terms`, Object.fromEntries(terms.map((seq) => [seq, "0 1"])));
    await expireAll(admin, link);
    await link.run("tick", "0");
    assert.equal(await admin.hLen(`${link.key}:bodies`), 0);
    assert.equal(await admin.exists(`${link.key}:takers`), 0);
  });
  await link.session.close();
});

Deno.test("redis: whatever is done with a leased channel, each of its keys has a time to live, and its first one the shortest", async () => {
  const lease = 60_000;
  const name = "leased with everything";
  const connection = new Connection(uri);
  const channel = new Channel<number>({ name, connection, expires: lease, capacity: 20 });
  const other = new Channel<number>({ name, connection: new Connection(`${uri}?name=other`) });
  const names = new Set<string>();
  const check = (admin: Admin) => async () => {
    const keys = await admin.keys(`${keyOf(name)}:*`);
    const now = Date.now();
    const ends = await Promise.all(keys.map((key) => admin.pExpireTime(key)));
    const first = ends[keys.indexOf(`${keyOf(name)}:meta`)]!;
    for (const [i, end] of ends.entries()) {
      assert.ok(end > now + lease && end >= first, `${keys[i]}: ${end}, ${first}`);
    }
    for (const key of keys) names.add(key.slice(keyOf(name).length + 1));
  };
  await withAdmin(uri, async (admin) => {
    const checked = check(admin);
    await channel.put(1);
    await checked();
    await other.put(2, { priority: 3, expires: 30_000 });
    await other.put(3, { delay: 30_000 });
    await checked();
    const [first, second] = [await channel.receive(), await other.receive()];
    await checked();
    first.release();
    await other.depth();
    await checked();
    second.accept();
    const values = [await other.get(), other.get(), channel.get()];
    await channel.stats();
    await checked();
    await other.put(4);
    await channel.put(5);
    await Promise.all(values);
    await Promise.all(numbers(19).map((n) => channel.put(n)));
    const waiting = other.put(20);
    await until(async () => await admin.exists(`${keyOf(name)}:askers`) === 1);
    await checked();
    await channel.get();
    await waiting;
    await checked();
  });
  const all = /^const keyNames = \[([^\]]*)\]/m.exec(
    readFileSync(new URL("../src/transports/redis/scripts/compose.ts", import.meta.url), "utf8"),
  );
  assert.deepEqual(
    [...names].sort(),
    [...all![1]!.matchAll(/"(\w+)"/g)].map(([, key]) => key!).sort(),
  );
  await channel.delete();
  await Promise.all([channel, other].map((each) => each.close()));
  await connectionsClosed();
});

Deno.test("redis: a channel whose first key is gone begins anew, without anything of the former one", async () => {
  const [one, two] = await connectAll(2) as [BareLink, BareLink];
  await one.attach();
  await one.put(["old"], { number: 1 });
  await withAdmin(uri, (admin) => admin.del(`${one.key}:meta`));
  await two.attach();
  assert.equal(await two.depth(), 0);
  await two.put(["new"], { number: 1 });
  assert.equal(await two.depth(), 1);
  await Promise.all([one, two].map(({ session }) => session.close()));
});

Deno.test("redis: a script has the definitions that it uses, and those that these use", () => {
  const definitions = `
local a = 1
local b = 2

local list = {}
local function two(x)
  list[1] = x
end

-- one
local function one()
  return meta .. two('three')
end

-- Not what calls it: three.
local function three() return ready end

if not b then return 0 end
`;
  const has = (own: string) =>
    [...compose(definitions, own).matchAll(/^local (?:function )?(\w+)|^if/gm)]
      .map(([all, name]) => name ?? all);
  assert.deepEqual(has("return 1"), ["a", "b", "if"]);
  assert.deepEqual(has("one()"), ["meta", "a", "b", "list", "two", "one", "if"]);
  assert.deepEqual(has("-- one\ntwo(1)"), ["a", "b", "list", "two", "if"]);
  assert.deepEqual(has("three()"), ["ready", "a", "b", "three", "if"]);
  assert.ok(has("keys").length > 12);
});

/** Returns the numbers of the messages that a link has on loan, as the server notes them. */
async function lentTo({ key, holder }: BareLink): Promise<number[]> {
  let found: string[] = [];
  await withAdmin(uri, async (admin) => {
    found = await admin.zRange(`${key}:loans`, 0, -1);
  });
  return found.filter((loan) => loan.startsWith(`${holder} `)).map((loan) =>
    Number(loan.split(" ")[1])
  );
}

/** Puts an empty message for each of these priorities. */
function putOf(link: BareLink, priorities: readonly number[], delay = ""): Promise<number[]> {
  const messages = priorities.flatMap((priority, i) => [
    String(i + 1),
    ...["1", String(priority), delay, "", '["",0]\n'],
  ]);
  return link.run("put", "0", "0", "0", ...messages);
}

/** Claims a message, and waits for it at the server. */
async function claim(link: BareLink): Promise<void> {
  await link.run("take", "0", "0", "7", "-", "");
}

Deno.test("redis: of messages that go back at once, a waiting claim gets the one of the highest priority", async () => {
  const ways: Record<string, (one: BareLink, loans: readonly string[]) => Promise<unknown>> = {
    "a release": (one, loans) => one.run("release", ...loans.flatMap((loan) => [loan, "0"])),
    "a detachment": (one) => one.run("detach"),
    "a death": (one) => one.session.close(),
  };
  for (const [way, goBack] of Object.entries(ways)) {
    const [one, two] = await connectAll(2) as [BareLink, BareLink];
    await one.attach();
    await two.attach();
    await putOf(one, [0, 9, 9]);
    const loans = [await one.take(), await one.take(), await one.take()] as string[];
    await claim(two);
    await goBack(one, loans);
    await until(async () => {
      await two.run("tick", "1");
      return (await lentTo(two)).length > 0;
    });
    assert.deepEqual(await lentTo(two), [2], way);
    assert.equal(await two.depth(), 2);
    await Promise.all([one, two].map(({ session }) => session.close()));
  }
});

Deno.test("redis: of delayed messages that are due at once, a waiting claim gets the one of the highest priority", async () => {
  const [one] = await connectAll(1) as [BareLink];
  await one.attach();
  await claim(one);
  await putOf(one, [0, 9], "300");
  await pause(400);
  await one.run("tick", "0");
  assert.equal(await one.depth(), 1);
  const [loan] = await lentTo(one);
  await withAdmin(uri, async (admin) => {
    const terms = await admin.hGet(`${one.key}:terms`, String(loan).padStart(16, "0"));
    assert.equal(terms, "9 ");
  });
  await one.session.close();
});

Deno.test("redis: what is released in one turn goes back in the order of the messages, however much it is", async () => {
  const sent: string[] = [];
  const settlements = new RedisSettlements(new ProcessRef(), () => (script, args) => {
    assert.equal(script, "release");
    sent.push(...args.filter((_, i) => i % 2 === 0));
    return Promise.resolve();
  });
  const entries = numbers(5000).map((i) => `${String(i).padStart(16, "0")} -${5000 - i}`);
  for (const entry of entries.toReversed()) settlements.release({ entry, id: undefined }, "0");
  settlements.flush();
  assert.deepEqual(sent, entries);
  await until(() => Promise.resolve([...settlements.messages].length === 0));
});

Deno.test("redis: what a link waited for that has detached gets no message, and is not told of room", async () => {
  const [one, two, gone] = await connectAll(3) as [BareLink, BareLink, BareLink];
  await one.attach([], [], "", "1");
  await two.attach();
  await gone.attach();
  await claim(gone);
  await claim(two);
  await gone.run("detach"); // does not say what it waits for, and its session lives
  await one.put(["a"], { number: 1 });
  assert.deepEqual(await lentTo(two), [1]);
  assert.deepEqual(await lentTo(gone), []);
  await gone.attach();
  assert.equal((await gone.run("ask", "1", ""))[0], 0);
  assert.equal((await two.run("ask", "2", ""))[0], 0);
  await gone.run("detach");
  await two.run("accept", "0000000000000001 -7");
  await withAdmin(uri, async (admin) => {
    assert.equal(await admin.exists(`${one.key}:askers`), 0); // the second was told, too
  });
  await Promise.all([one, two, gone].map(({ session }) => session.close()));
});

Deno.test("redis: a claim of a former connection that arrives after the new attachment gets no message", async () => {
  const [one, two] = await connectAll(2) as [BareLink, BareLink];
  await one.attach();
  await one.put(["a"], { number: 1 });
  await two.attach([one]);
  await assert.rejects(one.take(), /LEFT/);
  assert.equal(await two.depth(), 1);
  await two.session.close();
});

Deno.test("redis: an attachment knows the last announcement of the former ones, also if they are taken for dead", async () => {
  const links = await connectAll(5) as [BareLink, BareLink, BareLink, BareLink, BareLink];
  const [one, two, three, four, other] = links;
  await one.attach();
  await one.run("announce", "0", "event", "7");
  await two.attach([one]);
  assert.equal(two.lastAnnounced, 7);
  await assert.rejects(one.run("announce", "0", "event", "8"), /LEFT/);
  await other.attach();
  await two.session.close();
  await until(async () => { // another process finds that it has gone
    await other.run("tick", "1");
    return await withAdmin(uri, (admin) => admin.hLen(`${other.key}:links`)) === 1;
  });
  await three.attach([two]);
  assert.equal(three.lastAnnounced, 7);
  await four.attach();
  assert.equal(four.lastAnnounced, 0);
  for (const { session } of [three, four, other]) await session.close();
});

Deno.test("redis: an anonymous channel that is used once runs four scripts", async () => {
  await using server = await startRedis();
  const connection = new Connection(server.uri);
  const channel = new Channel<number>({ connection });
  await channel.depth();
  await withAdmin(server.uri, async (admin) => {
    await admin.sendCommand(["CONFIG", "RESETSTAT"]);
    const once = channel.clone<number>();
    await once.put(1);
    assert.equal(await once.get(), 1);
    await once[Symbol.asyncDispose]();
    await channel.depth();
    const stats = String(await admin.sendCommand(["INFO", "commandstats"]));
    const count = /cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1];
    assert.equal(count, "5", "attach, put, take and remove, and a question for the depth");
    assert.deepEqual(await admin.keys(`${keyOf(once.name)}*`), []);
  });
  await channel.delete();
  await channel.close();
});

Deno.test("redis: what a deletion would have made superfluous is sent if the deletion fails", async () => {
  const sent: string[] = [];
  const settlements = new RedisSettlements(new ProcessRef(), () => (script, args) => {
    sent.push(`${script} ${args}`);
    return Promise.resolve();
  });
  const message = (seq: string) => ({ seq, entry: `${seq} -1`, id: undefined });
  settlements.accept(message("1"));
  await settlements.replacedBy(() => Promise.resolve());
  assert.deepEqual([sent, [...settlements.messages]], [[], []]);
  settlements.accept(message("2"));
  settlements.release(message("3"), "0");
  const failing = settlements.replacedBy(() => Promise.reject(new Error("NOPERM no")));
  settlements.accept(message("4"));
  await assert.rejects(failing, /NOPERM/);
  assert.deepEqual(sent, ["accept 4 -1,2 -1", "release 3 -1,0"]);
});

Deno.test("redis: an answer and a notification that arrive together serve claims in the order of the messages", async () => {
  let answer: (reply: unknown[]) => void = () => assert.fail();
  const owner: RedisGetterOwner = {
    name: "jobs",
    processRef: new ProcessRef(),
    run: () => new Promise((resolve) => answer = resolve),
    giveBack: () => assert.fail(),
    lent() {},
    keepsBack: () => false,
    refusal: () => assert.fail(),
    groupOf: () => "",
    nextClaim: () => ++claims,
    noteDue() {},
    waitingChanged() {},
    isNext() {},
    claimsSent() {},
    settled() {},
  };
  let claims = 0;
  const getter = new RedisGetter(owner);
  const served: string[] = [];
  const claim = (name: string): Claim => ({
    counted: false,
    deliver: ({ message }) => served.push(`${name} ${String.fromCharCode(...message.body)}`),
    reject: () => assert.fail(),
  });
  for (const name of ["first", "second", "third"]) getter.take(claim(name));
  await Promise.resolve(); // they are sent at the end of the turn
  const stored = (body: string) => Buffer.from(`["","${body}"]\n${body}`);
  answer([0, 1, -1, Buffer.from("0000000000000001"), Buffer.from("-"), stored("a")]);
  getter.notifiedOfLoan(["lend", "0000000000000002", "-2", "-"], stored("b"));
  assert.deepEqual(served, []);
  await pause(0);
  assert.deepEqual(served, ["first a", "second b"]);
  getter.notifiedOfLoan(["lend", "0000000000000003", "-3", "-"], stored("c"));
  assert.deepEqual(served, ["first a", "second b", "third c"]);
});

Deno.test("redis: a control event is told once, whatever is lost after it, and what was missed is counted", () => {
  const told: string[] = [];
  const bytes = (text: string) => new TextEncoder().encode(text);
  const events = new RedisEvents({
    announced: (event) => told.push(new TextDecoder().decode(event)),
    missed: (count) => told.push(`missed ${count}`),
    gone: () => assert.fail(),
  });
  const found = (count: number, control: number) => ({
    count,
    control,
    controlEvent: bytes(`control ${control}`),
  });
  events.attached(found(2, 1), false);
  events.notified(3, bytes("control 3"));
  events.lost();
  events.attached(found(3, 3), true);
  assert.deepEqual(told.splice(0), ["control 3"]);
  events.lost();
  events.notified(8, bytes("plain 8")); // it is heard before the answer is passed on
  events.attached(found(7, 6), true);
  assert.deepEqual(told.splice(0), ["plain 8", "missed 3", "control 6"]);
  events.lost();
  events.attached(found(8, 6), true);
  assert.deepEqual(told, []);
  events.lost();
  events.attached(found(11, 6), true, 2); // it has announced two of the three itself
  assert.deepEqual(told.splice(0), ["missed 1"]);
  events.lost();
  events.attached(found(5, 4), true); // a replica has become the primary
  events.lost();
  events.attached(found(6, 6), true);
  assert.deepEqual(told, ["control 6"]);
});
