// What a script on Redis costs must not depend on how much else there is.
import assert from "node:assert/strict";
import { numbers, pause, until } from "./conformance/fixture.ts";
import type { ScriptName } from "../src/transports/redis/scripts/mod.ts";
import { Watch } from "../src/transports/redis/connection/watch.ts";
import { BareLink } from "./redis/bare_link.ts";
import { startRedis } from "./support/redis.ts";
import { type Admin, withAdmin } from "./support/redis_setup.ts";
import { test } from "./support/test.ts";

const redis = await startRedis({ conf: ["appendonly no"] });
redis.unref();
const { uri } = redis;

const few = 250;
const many = 16 * few;
/** How many times the cost with few others the cost with many may have. A search would cost some ten times as much. */
const most = 5;

/** Returns the least microseconds, of some rounds, that a script takes. */
async function cost(admin: Admin, work: () => Promise<unknown>): Promise<number> {
  let least = Infinity;
  for (const _ of numbers(8)) {
    await admin.sendCommand(["CONFIG", "RESETSTAT"]);
    for (const _ of numbers(10)) await work();
    const stats = String(await admin.sendCommand(["INFO", "commandstats"]));
    const [, calls, time] = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(stats)!;
    least = Math.min(least, Number(time) / Number(calls));
  }
  return least;
}

let channels = 0;
const connect = (name: string) => BareLink.connect(uri, name);

/** Runs a script once for each 100 of `count`. */
async function inParts(count: number, run: (from: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += 100) await run(from);
}

/** Claims that wait: the other link has `count`, and each operation is one more. */
async function amongTakers(admin: Admin, count: number): Promise<Record<string, number>> {
  const name = `takers ${++channels}`;
  await using other = await connect(name);
  await using me = await connect(name);
  await Promise.all([other.attach(), me.attach()]);
  const claims = (from: number, n: number) =>
    numbers(n).flatMap((i) => [String(from + i), "-", ""]);
  await inParts(count, (from) => other.run("take", "0", "0", ...claims(from, 100)));
  let claim = 0;
  return {
    "a claim that waits, and its withdrawal": await cost(admin, async () => {
      await me.run("take", "0", "0", ...claims(++claim, 1));
      await me.run("untake", `${claim} -`);
    }),
    "a detachment and an attachment": await cost(admin, async () => {
      await me.run("detach", "0");
      await me.attach();
    }),
  };
}

async function amongAskers(admin: Admin, count: number): Promise<Record<string, number>> {
  const name = `askers ${++channels}`;
  await using other = await connect(name);
  await using me = await connect(name);
  await other.attach([], [], "", "1000");
  await me.attach();
  await inParts(1000, (from) => me.put(numbers(100).map(String), { number: from + 1 }));
  await inParts(
    count,
    (from) => Promise.all(numbers(100).map((i) => other.run("ask", String(from + i), ""))),
  );
  const loans = await Promise.all(numbers(100).map(() => me.take()));
  let ask = 0;
  let last = 1000;
  return {
    "a question for room, and its withdrawal": await cost(admin, async () => {
      await me.run("ask", String(++ask), "");
      await me.run("unask", `${ask} `);
    }),
    "an acceptance that makes room, and a put that takes it": await cost(admin, async () => {
      assert.equal(await me.run("accept", loans.pop()!), 1);
      assert.deepEqual(await me.put(["x"], { number: ++last }), [1]);
    }),
  };
}

async function amongLoans(admin: Admin, count: number): Promise<Record<string, number>> {
  const name = `loans ${++channels}`;
  await using other = await connect(name);
  await using me = await connect(name);
  await Promise.all([other.attach(), me.attach()]);
  await inParts(count, async (from) => {
    await other.put(numbers(100).map(String), { number: from + 1 });
    await Promise.all(numbers(100).map(() => other.take()));
  });
  return {
    "a withdrawal that has crossed a value": await cost(admin, () => me.run("untake", "9 -")),
    "such a withdrawal of a link that has the loans": await cost(admin, async () => {
      await other.run("take", "0", "0", "0", "-", "");
      await me.put(["x"], { number: 1_000_000 });
      await other.run("untake", "0 -");
      await me.run("accept", (await me.take())!);
    }),
    "a detachment and an attachment": await cost(admin, async () => {
      await me.run("detach", "0");
      await me.attach();
    }),
    "a put, a get and an acceptance": await cost(admin, async () => {
      await me.put(["x"], { number: 1_000_000 });
      await me.run("accept", (await me.take())!);
    }),
  };
}

async function amongLinks(admin: Admin, count: number): Promise<Record<string, number>> {
  const name = `links ${++channels}`;
  await using me = await connect(name);
  await me.attach([], [], "600000");
  const { session } = me;
  await inParts(count, (from) =>
    Promise.all(
      numbers(100).map((i) =>
        session.run("attach", me.key, [
          `${session.id}/${from + i + 10}`,
          ...["*", "0", "", "", "", "", "0", "0", "0"],
        ])
      ),
    ));
  return {
    "a look at who has died": await cost(admin, () => me.run("tick", "0")),
    "a question for the depth": await cost(admin, () => me.depth()),
    "a detachment and an attachment": await cost(admin, async () => {
      await me.run("detach", "0");
      await me.attach();
    }),
  };
}

for (
  const [what, measure] of Object.entries({
    "claims that wait": amongTakers,
    "puts that wait": amongAskers,
    "loans": amongLoans,
    "links": amongLinks,
  })
) {
  test(
    `redis: what a script costs does not grow with the number of ${what}`,
    { timed: "a script that searches shows only by time" },
    () =>
      withAdmin(uri, async (admin) => {
        const [little, much] = [await measure(admin, few), await measure(admin, many)];
        for (const title of Object.keys(little)) {
          const ratio = much[title]! / little[title]!;
          assert.ok(ratio < most, `${title}: ${ratio.toFixed(1)} times with 16 times as many`);
        }
      }),
  );
}

Deno.test("redis: values that are due or expire at once are moved or dropped in parts, and counted at once", async () => {
  const count = 2000;
  await using link = await connect("due");
  await link.attach();
  const put = (from: number, delay: string, expires: string) => {
    const messages = numbers(200).flatMap((i) => [
      String(from + i + 1),
      ...["1", "0", delay, expires, '["",0]\n'],
    ]);
    return link.run("put", "0", "0", "0", ...messages);
  };
  for (let from = 0; from < count; from += 200) {
    await put(from, "1", "");
    await put(count + from, "", "1");
  }
  await withAdmin(uri, async (admin) => {
    await pause(50); // all are due, or have expired
    await admin.sendCommand(["CONFIG", "RESETSTAT"]);
    assert.equal(await link.depth(), count);
    const stats = String(await admin.sendCommand(["INFO", "commandstats"]));
    const removed = Number(/cmdstat_zrem:calls=(\d+)/.exec(stats)?.[1]);
    assert.ok(removed > 100 && removed < 1000, `one script has moved ${removed}`);
    const got = new Set<string>();
    for (let isOver = false, claim = 0; !isOver;) {
      const claims = numbers(100).flatMap(() => [String(++claim), "-", ""]);
      const [, waits, , ...found] = await link.run("take", "0", "0", ...claims);
      for (let i = 0; i < found.length; i += 3) got.add(String(found[i]));
      isOver = waits === 1 || waits === 2;
    }
    assert.equal(got.size, count);
    assert.equal(await link.depth(), 0);
    assert.equal(await admin.hLen(`${link.key}:bodies`), count); // those on loan
  });
  await link.run("remove");
});

/** Has a link claim so often, and resolves with the loans that it gets. */
async function claim(link: BareLink, count: number, mark = "-"): Promise<string[]> {
  const loans: string[] = [];
  for (let from = 0; from < count; from += 100) {
    const claims = numbers(Math.min(100, count - from)).flatMap((
      i,
    ) => [String(from + i), mark, ""]);
    const [, , , ...found] = await link.run("take", "0", "0", ...claims);
    for (let i = 0; i < found.length; i += 3) loans.push(`${found[i]} ${mark}${from + i / 3}`);
  }
  return loans;
}

async function fill(link: BareLink, count: number, size = 0): Promise<void> {
  for (let from = 0; from < count; from += 100) {
    const messages = numbers(100).flatMap((i) => [
      String(from + i + 1),
      ...["1", "0", "", "", `["","${from + i}"]\n${"x".repeat(size)}`],
    ]);
    await link.run("put", "0", "0", "0", ...messages);
  }
}

/** Runs a script until it says that nothing is left, and resolves with how often. */
async function repeat(run: () => Promise<boolean>): Promise<number> {
  for (let count = 1;; count++) if (!await run()) return count;
}

Deno.test("redis: of many links of a process that wait, some look at a time, and each in its turn", async () => {
  const looks = new Map<number, number>();
  let inTurn = 0;
  let most = 0;
  const watch = new Watch(() => Promise.resolve(0));
  for (const i of numbers(700)) {
    watch.add({
      isNext: false,
      tick() {
        looks.set(i, (looks.get(i) ?? 0) + 1);
        most = Math.max(most, ++inTurn);
        queueMicrotask(() => inTurn = 0); // after all looks of this turn
        return Promise.resolve();
      },
    });
  }
  await until(() => looks.size === 700);
  watch.end();
  assert.equal(most, 250);
  assert.ok([...looks.values()].every((count) => count <= 2)); // the last 200, and the first 50 again
});

Deno.test("redis: clients that come and go all the time do not make a process that waits in many channels look all the time", async () => {
  let departed = 0;
  let looks = 0;
  let questions = 0;
  const watch = new Watch(() => {
    questions++;
    return Promise.resolve(++departed);
  });
  const links = numbers(200).map(() => ({
    isNext: true,
    tick(isUrgent = false) {
      if (isUrgent) looks++;
      return Promise.resolve();
    },
  }));
  for (const link of links) watch.add(link);
  const start = performance.now();
  watch.next(links[0]!);
  await until(() => looks >= 600);
  watch.end();
  assert.equal(looks, 200 * questions);
  assert.ok(performance.now() - start >= 800); // 600 looks, the last 200 of which are not waited for
});

Deno.test("redis: what a process held that has died with much goes back in parts, and counts at once", async () => {
  const count = 2500;
  await using link = await connect("died");
  await using dead = await connect("died");
  await Promise.all([link.attach(), dead.attach()]);
  await fill(link, count);
  assert.equal((await claim(dead, count, "+")).length, count);
  await dead.session.close();
  await withAdmin(uri, async (admin) => {
    const left = () => admin.zCard(`${link.key}:loans`);
    await until(async () => await link.depth() === count);
    assert.equal(await left(), count - 1000);
    const [, , , first, tried] = await link.run("take", "0", "0", "1", "+", "");
    assert.deepEqual([Number(first), String(tried)], [1, "1"]);
    const { 0: depth, 1: loans } = await link.run("stats");
    assert.deepEqual([depth, loans], [count - 1, 1]);
    assert.equal(await repeat(async () => (await link.run("tick", "0"))[0] === 0), 1);
    assert.equal(await left(), 1);
    assert.equal(await admin.hLen(`${link.key}:links`), 1);
    assert.equal(await link.depth(), count - 1);
    assert.equal((await claim(link, count))[0], `${"2".padStart(16, "0")} -0`);
  });
  await link.run("remove");
});

Deno.test("redis: a link that holds or asks for much attaches and detaches in parts", async () => {
  const count = 2500;
  await using link = await connect("parts");
  await using former = await connect("parts");
  await Promise.all([link.attach(), former.attach()]);
  await fill(link, count);
  const loans = await claim(former, count);
  await using next = await connect("parts");
  const kept = [
    await attachPart(next, former, 0, loans.slice(0, 300), "1"),
    await attachPart(next, former, 1, loans.slice(300, 600), "0"),
  ];
  assert.ok(kept.every((reply) => reply[7].length === 300 && !reply[7].includes(0)));
  assert.deepEqual(kept.map((reply) => reply[9]), [0, 1]); // the former one still has 900
  assert.equal(await link.depth(), 1000);
  const detach = (holder: string) =>
    repeat(async () => await next.session.run("detach", next.key, [holder, "epoch", "0"]) === 2);
  assert.equal(await detach(former.holder), 1);
  assert.equal(await link.depth(), count - 600);
  assert.equal((await claim(link, count)).length, count - 600);
  assert.equal(await detach(link.holder), 2);
  assert.equal(await detach(next.holder), 1);
  await withAdmin(uri, async (admin) => {
    const keys = (await admin.keys(`${link.key}:*`)).map((key) => key.split(":").at(-1));
    assert.deepEqual(keys.toSorted(), ["bodies", "meta", "putters", "ready"]);
    assert.equal(await admin.zCard(`${link.key}:ready`), count);
  });
});

Deno.test("redis: a part of an attachment that follows a refused one is refused, and what the link holds does not go back", async () => {
  const name = "missing part";
  await using link = await connect(name);
  await using former = await connect(name);
  await Promise.all([link.attach(), former.attach()]);
  await fill(link, 100);
  const loans = await claim(former, 30);
  const parts = [0, 1, 2].map((i) => loans.slice(10 * i, 10 * i + 10));
  for (const refused of [0, 1]) {
    await using next = await connect(name);
    if (refused === 1) await attachPart(next, former, 0, parts[0]!, "1");
    const attaching = attachPart(next, former, 2, parts[2]!, "0");
    await assert.rejects(attaching, /BUSY an earlier part of the attachment was refused/);
    assert.equal(await link.depth(), 70);
  }
});

/** Attaches a link that continues what another one holds, by a part of its attachment. */
function attachPart(
  link: BareLink,
  former: BareLink,
  number: number,
  loans: readonly string[],
  more: "0" | "1",
) {
  return link.session.run("attach", link.key, [
    ...[link.holder, "epoch", "0", "", "", "", former.holder],
    ...[more, String(number), String(loans.length), ...loans.flatMap((loan) => [loan, ""])],
  ]);
}

Deno.test("redis: a put finds the living claim behind thousands of dead ones, and what looks for the dead removes them in parts", async () => {
  await using link = await connect("behind");
  await using living = await connect("behind");
  const waitTwice = async (name: string) => {
    const dead = await connect(name);
    await dead.attach();
    await claim(dead, 2500);
    return dead;
  };
  await Promise.all([link.attach(), living.attach()]);
  const first = await waitTwice("behind");
  await living.run("take", "0", "0", "7", "-", "");
  const second = await waitTwice("behind");
  await Promise.all([first.session.close(), second.session.close()]);
  await withAdmin(uri, async (admin) => {
    const count = (part: string) => admin.zCard(`${link.key}:${part}`);
    await until(async () => await admin.zCard(`${link.key}:takers`) === 5001);
    await until(async () => {
      const [, ...counts] = (await admin.sendCommand([
        ...["PUBSUB", "NUMSUB", `channelts:${first.session.id}`, `channelts:${second.session.id}`],
      ])) as unknown[];
      return counts[0] === 0 && counts[2] === 0;
    });
    assert.deepEqual(await link.put(["x"], { number: 1 }), [1]);
    assert.deepEqual([await count("loans"), await count("takers")], [1, 2500]);
    assert.equal(await repeat(async () => (await link.run("tick", "0"))[0] === 0), 3);
    assert.deepEqual([await count("takers"), await admin.hLen(`${link.key}:links`)], [0, 2]);
  });
  await link.run("remove");
});

Deno.test("redis: values that go back are given to claims in parts of some megabytes, and no later put overtakes them", async () => {
  const count = 100;
  const size = 65_536;
  await using link = await connect("large");
  await using holder = await connect("large");
  await using waiting = await connect("large");
  await Promise.all([link.attach(), holder.attach(), waiting.attach()]);
  await fill(link, count, size);
  const all: string[] = [];
  while (all.length < count) all.push(...await claim(holder, count - all.length)); // a reply has at most 2 MiB
  await claim(waiting, count + 100);
  await holder.run("release", ...all.flatMap((loan) => [loan, "-"]));
  await withAdmin(uri, async (admin) => {
    const lent = async () => (await admin.zRange(`${link.key}:loans`, 0, -1)).length;
    const before = await lent();
    assert.ok(before >= 32 && before <= 34, `${before} values of 64 KiB were lent at once`);
    await link.put(["last"], { number: count + 1 });
    assert.equal(await admin.zCard(`${link.key}:ready`), count + 1 - await lent());
    await repeat(async () => (await link.run("tick", "0"))[0] === 0);
    assert.deepEqual([await lent(), await admin.zCard(`${link.key}:ready`)], [count + 1, 0]);
    assert.equal(await admin.hGet(`${link.key}:meta`, "unserved"), null);
    const [newest] = await admin.zRange(`${link.key}:loans`, -1, -1);
    const claims = (await admin.zRange(`${link.key}:loans`, 0, -1))
      .map((entry) => Number(/\d+$/.exec(entry)![0]));
    assert.ok(newest!.includes(` ${String(count + 1).padStart(16, "0")} `));
    assert.deepEqual(claims, claims.toSorted((a, b) => a - b)); // the first claim got the oldest value
  });
  await link.run("remove");
});

Deno.test("redis: processes that die attached, waiting, holding values or putting, or detach, leave nothing that piles up", async () => {
  const lives = 120;
  const name = "month";
  await using first = await connect(name);
  await first.attach();
  const { key } = first;
  await using waiting = await connect("nothing comes"); // a channel where all processes wait
  await waiting.attach();
  await withAdmin(uri, async (admin) => {
    let most = 0;
    for (const i of numbers(lives)) {
      const link = await connect(name);
      await link.attach();
      await link.put([String(i)], { number: 1 });
      await link.take(true); // it dies with the value
      const inWaiting = (script: ScriptName, ...args: string[]) =>
        link.session.run(script, waiting.key, [link.holder, "epoch", ...args]);
      await link.session.run("attach", waiting.key, [
        link.holder,
        "epoch",
        "0",
        "",
        "",
        "",
        "",
        "0",
        "0",
        "0",
      ]);
      await inWaiting("take", "0", "0", "7", "-", "");
      if (i % 4 === 0) { // it does not say what it waits for
        await link.run("detach", "0");
        await inWaiting("detach", "0");
      }
      await link.session.close();
      // The last put of a dead process is noted for ten minutes: here they are over.
      for (const [each, noted] of Object.entries(await admin.hGetAll(`${key}:putters`))) {
        if (noted.includes(" ")) await admin.hSet(`${key}:putters`, each, "1 1");
      }
      const [links, putters, takers] = await Promise.all([
        admin.hLen(`${key}:links`),
        admin.hLen(`${key}:putters`),
        admin.zCard(`${waiting.key}:takers`),
      ]);
      most = Math.max(most, links, putters, takers);
    }
    assert.ok(most < 40, `${most} links, putters or takers of ${lives} processes`);
    await until(async () => await first.depth() > 0 && await admin.hLen(`${key}:links`) === 1);
    const left = async (part: string) => await admin.zCard(`${key}:${part}`);
    assert.deepEqual(await Promise.all(["loans", "takers", "askers"].map(left)), [0, 0, 0]);
    const [bodies, tries] = [await admin.hLen(`${key}:bodies`), await admin.hLen(`${key}:tries`)];
    assert.ok(tries <= bodies, `${tries} counts of attempts for ${bodies} values`);
    assert.equal(await first.depth(), bodies);
    await first.run("remove");
    assert.deepEqual(await admin.keys(`${key}*`), []);
    await waiting.run("tick", "1");
    assert.equal(await admin.zCard(`${waiting.key}:takers`), 0);
    await waiting.run("remove");
  });
  const sessions = async () => {
    let channels: string[] = [];
    await withAdmin(uri, async (admin) => {
      channels =
        (await admin.sendCommand(["PUBSUB", "CHANNELS", "channelts:*"])) as unknown as string[];
    });
    return channels.length;
  };
  await until(async () => await sessions() <= 2); // no subscription is left either
});
