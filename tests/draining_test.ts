import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelClosedError, ChannelConfigError, Connection } from "../mod.ts";
import { loadSqlite, openDatabase } from "../src/transports/sqlite/file/database.ts";
import { migrations } from "../src/transports/sqlite/file/schema.ts";
import { connectionsRest, pause, rejection, until, within } from "./conformance/fixture.ts";
import { brokerState } from "./support/broker_state.ts";
import { startChild } from "./support/child.ts";
import { withRaw } from "./support/raw.ts";
import { checkFile, sqliteDirectory } from "./support/sqlite_file.ts";

// Drained channels with several processes and with files. faults_test.ts tests them with failing brokers.
const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

const drained = { reason: "drain" } as const;

async function rest<T>(channel: Channel<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of channel) values.push(value);
  return values;
}

/** Deletes a channel and closes its handles, and asserts that nothing of it is left at the broker. */
async function clean(...channels: Channel<never>[]) {
  const { name } = channels[0]!;
  await channels[0]!.delete();
  await Promise.all(channels.map((ch) => ch.close()));
  const state = await brokerState();
  const left = [...state?.queues ?? [], ...state?.exchanges ?? []];
  assert.deepEqual(left.filter((one) => one.startsWith(name)), []);
  await connectionsRest();
}

Deno.test("amqp: the puts of a stopped producer delay the end of a drain and are delivered before it", async () => {
  const name = `drained ${randomUUID()}`;
  const ch = new Channel<number>({ name, connection: broker });
  await ch.depth();
  const program = new URL("programs/producer_until_closed.ts", import.meta.url);
  await using child = startChild(program, { args: [broker, name] });
  await child.next();
  const values: number[] = [];
  const getting = (async () => {
    for await (const value of ch) values.push(value);
  })();
  await until(() => values.length > 20);
  child.kill("SIGSTOP");
  await ch.closeAll({ drain: true });
  assert.equal(await Promise.race([getting.then(() => "over"), pause(600)]), undefined);
  child.kill("SIGCONT");
  const stored = await child.next() as number[];
  await within(getting);
  assert.deepEqual(values, stored);
  await child.exited;
  await clean(ch as Channel<never>);
});

Deno.test("amqp: a re-created channel is not closed by the closed marker of an earlier one", async () => {
  const name = `drained ${randomUUID()}`;
  const first = new Channel<string>({ name, connection: broker, expires: 1000 });
  await first.closeAll({ drain: true });
  await first.close();
  await pause(2500); // RabbitMQ checks for expired queues at intervals
  const second = new Channel<string>({ name, connection: broker, expires: 60_000 });
  await second.put("open");
  assert.equal(await second.get(), "open");
  await clean(second as Channel<never>);
});

Deno.test("amqp: a closed marker is deleted with its channel by others, and with an anonymous channel", async () => {
  {
    await using ch = new Channel<number>({ connection: broker });
    await ch.put(1);
    await ch.closeAll({ drain: true });
    assert.deepEqual(await within(rest(ch)), [1]);
  }
  const ch = new Channel<number>({ name: `drained ${randomUUID()}`, connection: broker });
  const far = new Channel<number>({ name: ch.name, connection: new Connection(broker) });
  await far.depth();
  await ch.closeAll({ drain: true });
  await within(rest(far));
  const gone = rejection(ch.get(), ChannelClosedError);
  await gone;
  await far.delete();
  await until(() => ch.closed);
  await clean(
    new Channel({ name: ch.name, connection: broker }),
    ch as Channel<never>,
    far as Channel<never>,
  );
});

Deno.test("amqp: a drained channel whose queue others delete is open when it is created again", async () => {
  const name = `drained ${randomUUID()}`;
  const ch = new Channel<number>({ name, connection: broker });
  await ch.closeAll({ drain: true });
  await ch.close();
  await connectionsRest();
  await withRaw(broker, (channel) => channel.queueDelete(name));
  const anew = new Channel<number>({ name, connection: broker });
  await anew.put(1);
  assert.equal(await anew.get(), 1);
  const state = await brokerState();
  assert.deepEqual(state?.queues.filter((each) => each.startsWith(name)) ?? [name], [name]);
  // If others create the queue as well, it cannot be distinguished from the former one.
  await anew.closeAll({ drain: true });
  await anew.close();
  await connectionsRest();
  await withRaw(broker, async (channel) => {
    await channel.queueDelete(name);
    await channel.queueDeclare(name, { durable: true });
  });
  const closed = new Channel<number>({ name, connection: broker });
  await rejection(closed.put(2), ChannelClosedError, drained);
  await closed.delete();
  const last = new Channel<number>({ name, connection: broker });
  await last.put(3);
  await clean(last as unknown as Channel<never>, closed as unknown as Channel<never>);
});

Deno.test("sqlite: a file of the first schema is migrated, and its channels can be drained", async () => {
  const path = join(sqliteDirectory(), `${randomUUID()}.db`);
  const options = { path, isDefault: false, isFull: false };
  const sqlite = await loadSqlite();
  const old = migrations.slice(0, 1);
  const db = await openDatabase(sqlite, options, 1000, old);
  db.exec(`
    INSERT INTO channels (name, depth) VALUES ('x', 1);
    INSERT INTO messages (channel, holder, attempts, content_type, body)
      VALUES (1, 0, 0, 'application/json', CAST('"old"' AS BLOB));`);
  db.close();
  const ch = new Channel<string>({ name: "x", connection: `sqlite:${path}` });
  await ch.closeAll({ drain: true });
  await ch.close();
  await pause(60);
  checkFile(path);
  await assert.rejects(openDatabase(sqlite, options, 1000, old), ChannelConfigError);
  const again = new Channel<string>({ name: "x", connection: `sqlite:${path}` });
  await rejection(again.put("new"), ChannelClosedError, drained);
  assert.deepEqual(await within(rest(again)), ["old"]);
  await again.delete();
  await again.close();
  await pause(60);
});
