// The commands of the program that act on channels: stats, dead-letters, drain, close, delete, bench and home.
import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelClosedError, listen } from "../home.ts";
import { RawChannel } from "../src/channel/raw_channel.ts";
import { getAll, numbers, pause, rejection, until, within } from "./conformance/fixture.ts";
import { type CommandResult, runCommand, startCommand } from "./support/command_line.ts";
import { redisUri } from "./support/redis_setup.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";

const directory = sqliteDirectory();
const sqlite = `sqlite:${join(directory, "jobs.db")}`;

/** Declares a test of other processes. The SQLite file of this process stays open for a moment after each test. */
function check(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

interface Jobs {
  readonly connection: string;
  readonly name: string;
  /** A handle of this process, with `maxAttempts: 1`. */
  readonly jobs: Channel<unknown>;
  /** Runs a command on the connection. */
  run(...args: string[]): Promise<CommandResult>;
}

/** Calls `use` with a channel that is new, and deletes it and its dead letters. */
async function withJobs(connection: string, use: (jobs: Jobs) => Promise<void>): Promise<void> {
  const name = `admin.${crypto.randomUUID()}`;
  const jobs = new Channel<unknown>({ name, connection, maxAttempts: 1 });
  await jobs.depth();
  try {
    await use({ connection, name, jobs, run: (...args) => runCommand(args, { connection }) });
  } finally {
    await jobs.close();
    await jobs.deadLetters.delete();
    const handle = new Channel({ name, connection });
    await handle.delete();
  }
}

/** Makes dead letters of values. */
async function fail(jobs: Channel<unknown>, values: readonly unknown[]): Promise<void> {
  await Promise.all(values.map((value) => jobs.put(value)));
  for (const _ of values) (await within(jobs.receive())).release();
  await until(async () => await jobs.deadLetters.depth() === values.length);
}

function ends(result: CommandResult, code: number): CommandResult {
  assert.equal(result.code, code, result.stderr);
  return result;
}

const engines = [["sqlite", sqlite], ["broker", process.env.BROKER!], ["redis", await redisUri()]];

for (const [engine, connection] of engines as [string, string][]) {
  check(
    `admin on ${engine}: dead letters are listed, dropped, and put back as they were`,
    async () => {
      await withJobs(connection, async ({ name, jobs, run }) => {
        const poison = {
          n: 1,
          when: new Date(0),
          bytes: new Uint8Array([1, 2]),
          replyTo: jobs.dup(),
        };
        await fail(jobs, [0, poison, "two"]);
        // One that no program can decode.
        const raw = new RawChannel(jobs.deadLetters);
        const body = new Uint8Array([0xff, 0xfe]);
        await raw.put({ body, contentType: "application/cbor", reason: "it is \x1b[31mred" }, {});

        const listed = ends(await run("dead-letters", name, "list", "--json"), 0);
        const lines = listed.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
        const reason = "maxAttempts: received 1 times and never accepted";
        assert.deepEqual(lines.slice(0, 3), [
          { reason, value: 0 },
          {
            reason,
            value: {
              n: 1,
              when: "1970-01-01T00:00:00.000Z",
              bytes: "AQI=",
              replyTo: { __channel__: true, name },
            },
          },
          { reason, value: "two" },
        ]);
        assert.match(lines[3].undecodable, /^a message cannot be decoded/);
        const first = ends(await run("dead-letters", name, "list", "-n", "1"), 0);
        assert.equal(first.stdout, `${reason}\t0\n`);
        assert.match(first.stderr, /1 of 4 are listed/);
        assert.doesNotMatch(listed.stdout, /\p{Cc}\[/u);

        // Nobody confirms it here.
        assert.match(
          ends(await run("dead-letters", name, "drop", "-n", "1"), 2).stderr,
          /add --yes/,
        );
        const dropped = await run("dead-letters", name, "drop", "-n", "1", "--yes", "--json");
        assert.deepEqual(JSON.parse(ends(dropped, 0).stdout), { name, action: "drop", count: 1 });
        assert.equal(await jobs.deadLetters.depth(), 3);

        const retried = ends(await run("dead-letters", name, "retry"), 0);
        assert.match(retried.stderr, /3 dead letters put back/);
        assert.equal(retried.stdout, "");
        assert.equal(await jobs.deadLetters.depth(), 0);
        const delivery = await within(jobs.receive());
        assert.deepEqual(
          { ...delivery.value as typeof poison, replyTo: undefined },
          { ...poison, replyTo: undefined },
        );
        assert.equal((delivery.value as typeof poison).replyTo.name, name);
        assert.deepEqual(
          [delivery.attempts, delivery.reason],
          [1, undefined],
          "it has all attempts again",
        );
        delivery.accept();
        assert.equal(await within(jobs.get()), "two");
        const source = new RawChannel(jobs);
        const last = await within(source.receive({}));
        assert.deepEqual(new Uint8Array(last.value.body), body);
        last.accept();
        await source.close();
        await raw.close();
      });
    },
  );

  check(
    `admin on ${engine}: no dead letter is lost when retry is killed, and none doubles at Ctrl-C`,
    async () => {
      for (const signal of ["SIGKILL", "SIGINT"] as const) {
        const name = `admin.${crypto.randomUUID()}`;
        // The channel holds 50: then the puts of the command wait, and the signal comes in the middle.
        const jobs = new Channel<unknown>({ name, connection, capacity: 50, maxAttempts: 1 });
        const dead = jobs.deadLetters;
        await jobs.depth();
        for (const n of numbers(200)) await dead.put(n);
        {
          await using retry = startCommand(["dead-letters", name, "retry"], { connection });
          await until(async () => await jobs.depth() === 50);
          retry.kill(signal);
          const { code, stderr } = await within(retry.result);
          assert.equal(code, signal === "SIGKILL" ? null : 130, stderr);
          if (signal === "SIGINT") assert.match(stderr, /50 were put back before/);
        }
        // What the killed process held is there again. A value that it had put and not yet accepted is in both.
        const values = new Set(await getAll(jobs, 50) as number[]);
        let doubled = 0;
        while (values.size < 200) {
          const value = await within(dead.get()) as number;
          if (values.has(value)) doubled++;
          values.add(value);
        }
        doubled += await dead.depth();
        assert.deepEqual([...values].sort((a, b) => a - b), numbers(200));
        assert.equal(await jobs.depth(), 0);
        assert.ok(
          doubled <= (signal === "SIGINT" ? 0 : 64),
          `${doubled} values are in both channels`,
        );
        await dead.delete();
        await jobs.delete();
      }
    },
  );

  check(`admin on ${engine}: drain waits until consumers have accepted every value`, async () => {
    await withJobs(connection, async ({ name, jobs, run, connection }) => {
      await jobs.put(1);
      await jobs.put(2);
      let late: CommandResult;
      let timeout = 100;
      do { // more time, if the program does not connect in this time
        timeout *= 4;
        late = await run("drain", name, "--timeout", `${timeout}`);
      } while (!/values are left/.test(late.stderr) && timeout < 20_000);
      assert.ok(ends(late, 3).stderr.includes(`values are left after ${timeout} ms`), late.stderr);
      assert.equal((await rejection(jobs.put(3), ChannelClosedError)).reason, "drain");

      await using drain = startCommand(["drain", name], { connection });
      let isOver = false;
      drain.result.then(() => isOver = true);
      assert.equal(await within(jobs.get()), 1);
      const held = await within(jobs.receive());
      await until(async () => await jobs.depth() === 0);
      await pause(300);
      assert.ok(!isOver, "a value is still on loan");
      held.accept();
      ends(await within(drain.result), 0);
      await rejection(jobs.get(), ChannelClosedError);
    });
  });

  check(
    `admin on ${engine}: close ends the gets of all, delete removes, and nothing is created`,
    async () => {
      await withJobs(connection, async ({ name, jobs, run }) => {
        await jobs.put(1);
        const far = new Channel({ name, connection });
        const held = await within(far.receive());
        const waiting = rejection(jobs.get(), ChannelClosedError);
        ends(await run("close", name), 0);
        assert.equal((await within(waiting)).reason, "closeAll");
        held.release(); // does nothing: the value is there again
        const again = new Channel({ name, connection });
        await until(async () => await again.depth() === 1);

        const missing = `${name}.missing`;
        assert.match(ends(await run("delete", name), 2).stderr, /add --yes/);
        assert.equal(await again.depth(), 1);
        const deleted = ends(await run("delete", missing, name, "--yes"), 4);
        assert.match(deleted.stderr, /missing does not exist/);
        await until(() => again.closed);
        for (const args of [["close"], ["drain"], ["stats"], ["dead-letters", "list"]]) {
          const [command, ...more] = args as [string];
          const { stderr } = ends(await run(command, missing, ...more), 4);
          assert.match(stderr, /does not exist/);
        }
      });
    },
  );

  check(`admin on ${engine}: stats prints a table, JSON, and lines again and again`, async () => {
    await withJobs(connection, async ({ name, jobs, run, connection }) => {
      await fail(jobs, ["poison"]);
      await jobs.put(1);
      const table = ends(await run("stats", name), 0).stdout.trimEnd().split("\n");
      const [titles, row] = table.map((line) => line.trim().split(/ +/));
      const figures = Object.fromEntries(titles!.map((title, i) => [title, row![i]]));
      assert.equal(figures["DEPTH"], "1");
      assert.equal(figures["DEAD"], "1");
      assert.equal(figures["CHANNEL"], name);

      const missing = `${name}.missing`;
      const both = ends(await run("stats", name, missing, "--json"), 4);
      const { depth, deadLetters } = JSON.parse(both.stdout);
      assert.deepEqual({ depth, deadLetters }, { depth: 1, deadLetters: 1 });
      const held = await within(jobs.receive());
      const { loans } = JSON.parse(ends(await run("stats", name, "--json"), 0).stdout);
      assert.equal(loans, engine === "broker" ? undefined : 1, "RabbitMQ does not tell the loans");
      held.accept();
      assert.match(both.stderr, /does not exist/);

      await using watch = startCommand(
        ["stats", missing, "--watch", "--json", "--interval", "50"],
        { connection },
      );
      const lines = () =>
        watch.stdout.split("\n").slice(0, -1).map((line) => JSON.parse(line)) as {
          trouble?: string;
          depth?: number;
          change?: number;
        }[];
      await until(() => /does not exist/.test(lines().at(-1)?.trouble ?? ""));
      const late = new Channel<number>({ name: missing, connection });
      await late.put(1);
      await until(() => lines().at(-1)?.depth === 1);
      await late.put(2);
      await until(() => lines().some(({ change = 0 }) => change > 0));
      await late.delete();
      await until(() => lines().at(-1)?.trouble !== undefined);
      watch.kill("SIGTERM");
      ends(await within(watch.result), 143);
    });
  });

  check(`admin on ${engine}: bench measures, and leaves no channel`, async () => {
    const course = ["bench", "-n", "200", "--size", "10"];
    const { stdout } = ends(await runCommand([...course, "--json"], { connection }), 0);
    const results = JSON.parse(stdout);
    assert.deepEqual([results.count, results.size], [200, 10]);
    for (const key of ["attach", "puts", "gets", "both"]) assert.ok(results[key] > 0, key);
    for (const { median, p99, max } of [results.put, results.trip]) {
      assert.ok(0 < median && median <= p99 && p99 <= max);
    }
    const table = ends(await runCommand(course, { connection }), 0).stdout;
    for (const line of ["put ", "put to get ", "attach ", "puts ", "gets ", "puts and gets "]) {
      assert.ok(table.includes(`\n${line}`), line);
    }
  });
}

check("admin: home serves its memory, keeps its keys, and ends at SIGTERM", async () => {
  const file = join(directory, "keys.json");
  let before = "";
  for (const round of [1, 2]) {
    await using command = startCommand(
      ["home", "zmq://127.0.0.1:0", "ws://127.0.0.1:0", "--keys-file", file],
      { connection: "zmq://127.0.0.1:1" }, // the variable does not say what a home serves
    );
    await until(() => /Ctrl-C/.test(command.stderr));
    const addresses = command.stdout.trimEnd().split("\n");
    assert.equal(addresses.length, 2);
    const key = new URL(addresses[0]!).searchParams.get("key")!;
    assert.ok(key && (round === 1 || key === before), "the key of the home is the same");
    before = key;
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const [a, b] = addresses.map((connection) => new Channel({ name: "jobs", connection }));
    await a!.put(round);
    assert.equal(await within(b!.get()), round);
    await Promise.all([a!.close(), b!.close()]);
    command.kill("SIGTERM");
    assert.match(ends(await within(command.result), 143).stderr, /the memory of this process/);
  }
  writeFileSync(file, "no keys");
  const { stderr } = ends(await runCommand(["home", "zmq://127.0.0.1:0", "--keys-file", file]), 1);
  assert.match(stderr, /has no keys/);
  assert.doesNotMatch(stderr, /no keys"/, "nothing of the file is shown");
});

check("admin: home lends the channels of a file to peers who know a secret", async () => {
  const secret = join(directory, "secret");
  writeFileSync(secret, "hunter2 hunter2\n");
  await withJobs(sqlite, async ({ name, jobs, connection }) => {
    await fail(jobs, ["poison"]);
    const home = ["home", "ws://127.0.0.1:0", "--connection", connection, "--secret-file", secret];
    await using command = startCommand([...home, "--json"]);
    await until(() => /Ctrl-C/.test(command.stderr));
    const { addresses: [address] } = JSON.parse(command.stdout);
    const peer = new URL(address);
    peer.password = "hunter2 hunter2";
    ends(await runCommand(["dead-letters", name, "retry"], { connection: peer.href }), 0);
    assert.equal(await within(jobs.get()), "poison");
    const stranger = await runCommand(["stats", name], { connection: address });
    assert.equal(ends(stranger, 1).stdout, "");
    command.kill("SIGINT");
    const { stdout, stderr } = ends(await within(command.result), 130);
    assert.doesNotMatch(stdout + stderr, /hunter2/);
  });
  const open = await runCommand(["home", "zmq://0.0.0.0:0"]);
  assert.match(ends(open, 2).stderr, /nothing protects it/);
});

check("admin: a command does not create the file of a connection that is wrong", async () => {
  const path = join(directory, "nowhere", "jobs.db");
  const { code } = await runCommand(["stats", "jobs"], { connection: `sqlite:${path}` });
  assert.notEqual(code, 0);
  assert.ok(!existsSync(path));
});

check("admin: stats over a home that comes back", async () => {
  const home = await listen("ws://127.0.0.1:0");
  const { address } = home;
  const jobs = new Channel({ name: "jobs", connection: home });
  await jobs.put(1);
  await using watch = startCommand(
    ["stats", "jobs", "--watch", "--json", "--interval", "50", "--timeout", "500"],
    { connection: address },
  );
  const last = () => JSON.parse(watch.stdout.trimEnd().split("\n").at(-1) || "{}");
  await until(() => last().depth === 1);
  await jobs.close();
  await home.close();
  await until(() => last().trouble !== undefined);
  const again = await listen(address);
  const later = new Channel({ name: "jobs", connection: again });
  await later.put(1);
  await until(() => last().depth > 0);
  watch.kill("SIGINT");
  ends(await within(watch.result), 130);
  await later.close();
  await again.close();
});
