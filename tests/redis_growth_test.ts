// What a script on Redis costs must not depend on how much else there is.
import assert from "node:assert/strict";
import { numbers, pause, until } from "./conformance/fixture.ts";
import type { ScriptName } from "../src/transports/redis/scripts/mod.ts";
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
      await me.run("detach");
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
    "a detachment and an attachment": await cost(admin, async () => {
      await me.run("detach");
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
  await me.attach();
  const { session } = me;
  await inParts(count, (from) =>
    Promise.all(
      numbers(100).map((i) =>
        session.run("attach", me.key, [
          `${session.id}/${from + i + 10}`,
          ...["*", "0", "", "", "", "", "0"],
        ])
      ),
    ));
  return {
    "a look at who has died": await cost(admin, () => me.run("tick", "0")),
    "a question for the depth": await cost(admin, () => me.depth()),
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
      ]);
      await inWaiting("take", "0", "0", "7", "-", "");
      if (i % 4 === 0) { // it does not say what it waits for
        await link.run("detach");
        await inWaiting("detach");
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
