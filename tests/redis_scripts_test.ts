// What the scripts of one link see after those of another, or of its own former connections. Each test has a channel of its own.
import assert from "node:assert/strict";
import type { ChannelConnectionError } from "../mod.ts";
import { RedisOutbox } from "../src/transports/redis/redis_outbox.ts";
import { refusedBy } from "../src/transports/redis/failure.ts";
import { ProcessRef } from "../src/transports/remote/process_ref.ts";
import { newStats } from "../src/transports/stats.ts";
import { unknownOutcome } from "../src/transports/remote/outage.ts";
import { numbers, until } from "./conformance/fixture.ts";
import { BareLink } from "./redis/bare_link.ts";
import { startRedis } from "./support/redis.ts";
import { withAdmin } from "./support/redis_setup.ts";

const redis = await startRedis();
redis.unref();
const { uri } = redis;
let channels = 0;

/** Connects links on one new channel. */
async function connectAll(count: number): Promise<BareLink[]> {
  const name = `channel ${++channels}`;
  return await Promise.all(numbers(count).map(() => BareLink.connect(uri, name)));
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
  const outbox = new RedisOutbox(newStats(), new ProcessRef(), 20_000, "putter", {
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

Deno.test("redis: a question for the depth or the stats leaves no key without a time to live on a leased channel", async () => {
  for (const question of ["depth", "stats"] as const) {
    const [one, two] = await connectAll(2) as [BareLink, BareLink];
    await one.attach([], [], "60000");
    await two.attach();
    await one.put(["a"], { number: 1 });
    await two.take();
    await two.session.close();
    await until(async () => [await one.run(question)].flat()[0] === 1); // the server has noticed the death
    await withAdmin(uri, async (admin) => {
      const keys = await admin.keys(`${one.key}*`);
      assert.ok(keys.includes(`${one.key}:tries`), String(keys));
      for (const key of keys) assert.ok(await admin.pTTL(key) > 0, key);
    });
    await one.session.close();
  }
});
