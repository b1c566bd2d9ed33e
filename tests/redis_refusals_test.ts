// What happens while a Redis refuses scripts for the moment, or a link as it attaches.
import assert from "node:assert/strict";
import { Channel, ChannelConnectionError } from "../mod.ts";
import { connectionsRest, pause, rejection, until, within } from "./conformance/fixture.ts";
import { RedisTransport } from "../src/transports/redis/transport.ts";
import { linkOptions } from "./support/link.ts";
import { type PrivateRedis, startRedis } from "./support/redis.ts";
import { withAdmin } from "./support/redis_setup.ts";

const command = (redis: PrivateRedis, ...args: string[]) =>
  withAdmin(redis.uri, (admin) => admin.sendCommand(args));

/** Lets the server refuse all that writes, for lack of replicas, until the returned function is called. */
async function refuseWrites(redis: PrivateRedis): Promise<() => Promise<unknown>> {
  await command(redis, "CONFIG", "SET", "min-replicas-to-write", "1");
  return () => command(redis, "CONFIG", "SET", "min-replicas-to-write", "0");
}

/** Lets a script of another program run, so that the server refuses all else, until the returned function is called. */
async function keepBusy(redis: PrivateRedis): Promise<() => Promise<unknown>> {
  await command(redis, "CONFIG", "SET", "busy-reply-threshold", "10");
  let stop!: () => void;
  const stopped = new Promise<void>((resolve) => stop = resolve);
  let isReady!: () => void;
  const ready = new Promise<void>((resolve) => isReady = resolve);
  const killing = withAdmin(redis.uri, async (admin) => {
    const running = command(redis, "EVAL", "while true do end", "0").catch(() => {}); // it is killed
    await until(() => admin.sendCommand(["GET", "any"]).then(() => false, () => true));
    isReady();
    await stopped;
    await admin.sendCommand(["SCRIPT", "KILL"]);
    await running;
  });
  await Promise.race([ready, killing]);
  return () => {
    stop();
    return killing;
  };
}

for (const [what, refuse] of [["writes nothing", refuseWrites], ["is busy", keepBusy]] as const) {
  Deno.test(`redis: while a server ${what}, operations wait, and what is settled or withdrawn then is so afterwards`, async () => {
    await using redis = await startRedis();
    const options = { connection: redis.uri, retryTimeout: 60_000 };
    const jobs = new Channel<number>({ ...options, name: "jobs" });
    const empty = new Channel<number>({ ...options, name: "empty" });
    for (const n of [1, 2, 3]) await jobs.put(n);
    const [accepted, released] = [await jobs.receive(), await jobs.receive()];
    const abort = new AbortController();
    const aborted = empty.get({ signal: abort.signal });
    await until(async () => Number(await command(redis, "EXISTS", "channelts:{empty}:takers")) > 0);
    const stop = await refuse(redis);
    accepted.accept();
    released.release();
    abort.abort(new Error("given up"));
    await assert.rejects(aborted, /given up/);
    const putting = jobs.put(4);
    const waiting = empty.get();
    await pause(300);
    await stop();
    await within(putting);
    const other = new Channel<number>({ ...options, name: "empty" });
    await other.put(5);
    assert.equal(await within(waiting), 5); // not lost in the claim that was withdrawn
    const { depth, loans } = await jobs.stats();
    assert.deepEqual({ depth, loans }, { depth: 3, loans: 0 });
    for (const n of [2, 3, 4]) assert.equal(await jobs.get(), n);
    await Promise.all([jobs, empty, other].map((channel) => channel.close()));
    await connectionsRest();
  });
}

Deno.test("redis: a new channel that the server refuses for the moment is made afterwards", async () => {
  await using redis = await startRedis();
  const first = new Channel<number>({ connection: redis.uri, retryTimeout: 60_000 });
  await first.put(0); // there is a connection
  const stop = await refuseWrites(redis);
  const anonymous = new Channel<number>({ connection: redis.uri, retryTimeout: 60_000 });
  const putting = anonymous.put(1);
  const waiting = anonymous.get();
  await pause(300);
  await stop();
  await within(putting);
  assert.equal(await within(waiting), 1);
  await Promise.all([first.delete(), anonymous.delete()]);
  await Promise.all([first.close(), anonymous.close()]);
  await connectionsRest();
});

Deno.test("redis: a new channel that the user may not make says so", async () => {
  await using redis = await startRedis({
    conf: ["user narrow on >PASSWORD ~channelts:{jobs}* &* +@all"],
  });
  const connection = `redis://narrow:PASSWORD@127.0.0.1:${redis.port}`;
  const anonymous = new Channel<number>({ connection });
  await rejection(within(anonymous.put(1)), ChannelConnectionError, { reason: "permission" });
  await rejection(within(anonymous.get()), ChannelConnectionError, { reason: "permission" });
  await anonymous.close();
  await connectionsRest();
});

Deno.test("redis: on a cluster, a new channel exists before it may be named to other nodes", async () => {
  await using redis = await startRedis({ conf: ["cluster-enabled yes"] });
  await command(redis, "CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  await until(async () => /cluster_state:ok/.test(String(await command(redis, "CLUSTER", "INFO"))));
  const outcomes: boolean[] = [];
  for (const uri of [redis.uri, `${redis.uri}?cluster`]) {
    const transport = new RedisTransport(uri);
    const first = await transport.open("first", linkOptions);
    redis.suspend();
    let isOpen = false;
    const opening = transport.open("new", { ...linkOptions, isNew: true });
    opening.then(() => isOpen = true);
    await pause(50);
    outcomes.push(isOpen);
    redis.resume();
    const link = await opening;
    await link.delete();
    await Promise.all([first.close(), link.close()]);
    transport.rest();
  }
  assert.deepEqual(outcomes, [true, false]);
  await connectionsRest();
});
