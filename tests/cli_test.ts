/** The program channelts: values, exit codes, signals, and each command, by processes. */

import { deepEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Channel, serve } from "../mod.ts";
import { until } from "./conformance/fixture.ts";
import { runCli, startCli } from "./support/cli.ts";
import { startRedis } from "./support/redis.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";
import { ROOT } from "./support/test_files.ts";

const broker = process.env.BROKER!;
ok(broker, "BROKER names no broker: run with `deno task test`");

const folder = sqliteDirectory();
const uri = `sqlite:${join(folder, "channels.db")}`;
const env = { CHANNELTS_URI: uri };

/** The connection to the file, and to a broker, stay open for a moment after a test. */
function cliTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `cli: ${name}`, fn, sanitizeOps: false, sanitizeResources: false });
}

let last = 0;
const newName = () => `cli-${++last}`;

/** Opens a channel of the file, and closes it after the body. */
async function withChannel(
  body: (channel: Channel<unknown>, name: string) => Promise<void>,
): Promise<void> {
  const name = newName();
  const channel = new Channel<unknown>({ name, connection: uri });
  try {
    await body(channel, name);
  } finally {
    await channel.close();
  }
}

for (const runtimeName of ["deno", "bun", "node"] satisfies RuntimeName[]) {
  cliTest(
    `put, get, request, serve and Ctrl-C on ${runtimeName}`,
    () =>
      withChannel(async (channel, name) => {
        const runtime = await findRuntime(runtimeName);
        const run = (args: string[], input?: string) =>
          runCli(args, { runtime, env, ...input === undefined ? {} : { input } });
        const put = await run(["put", name], '{"n": 1}\n"é"\n\n3');
        deepEqual([put.code, put.stdout, put.stderr], [0, "", ""]);
        const got = await run(["get", name, "-n", "2"]);
        deepEqual([got.code, got.stdout, got.stderr], [0, '{"n":1}\n"é"\n', ""]);
        equal(await channel.get(), 3);

        const serving = await startCli(["serve", name, "--", "cat"], { runtime, env });
        try {
          await serving.until(({ stderr }) => stderr.includes("waiting for requests"));
          const reply = await run(["request", name, '{"a": [1, null]}', "--timeout", "20000"]);
          deepEqual([reply.code, reply.stdout], [0, '{"a":[1,null]}\n'], reply.stderr);
          serving.signal("SIGTERM");
          equal((await serving.ended).code, 143);
        } finally {
          await serving[Symbol.asyncDispose]();
        }

        await using waiting = await startCli(["get", name, "--follow"], { runtime, env });
        await channel.put("first");
        await waiting.until(({ stdout }) => stdout === '"first"\n');
        waiting.signal("SIGINT");
        const ended = await waiting.ended;
        deepEqual([ended.code, ended.stderr], [130, ""]);
        await channel.put("kept");
        equal(await channel.get({ timeout: 20_000 }), "kept");
      }),
  );
}

cliTest("put, get, peek, tail, request, serve and pipe on a Redis", async () => {
  await using redis = await startRedis();
  const env = { CHANNELTS_URI: redis.uri };
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCli(args, { env });
    equal(code, 0, stderr);
    return stdout;
  };
  const jobs = new Channel<unknown>({ name: "jobs", connection: redis.uri });
  await run("put", "jobs", "2", '"later"');
  await run("put", "jobs", "1", "--priority", "1");
  equal(await run("peek", "jobs"), '1\n2\n"later"\n');
  equal(await run("get", "jobs", "-n", "2"), "1\n2\n");
  await using serving = await startCli(["serve", "work", "--", "cat"], { env });
  await using tail = await startCli(["tail", "news", "-n", "1"], { env });
  const [, replied] = await Promise.all([
    run("pipe", "jobs", "more"),
    serving.until(({ stderr }) => stderr.includes("waiting for requests"))
      .then(() => run("request", "work", '{"a": 1}', "--timeout", "20000")),
    tail.until(({ stderr }) => stderr.includes("listening"))
      .then(async () => {
        const news = new Channel<number>({ name: "news", connection: redis.uri });
        await news.broadcast(3);
        await news.close();
      }),
  ]);
  equal(replied, '{"a":1}\n');
  serving.signal("SIGTERM");
  equal((await serving.ended).code, 143);
  const { code, stdout } = await tail.ended;
  deepEqual([code, stdout], [0, "3\n"]);
  equal(await jobs.depth(), 0);
  equal(await run("get", "more"), '"later"\n');
  await jobs.close();
});

cliTest("exit codes", () =>
  withChannel(async (channel, name) => {
    const code = async (...args: string[]) => (await runCli(args, { env })).code;
    await channel.put(1);
    equal(await code("get", name), 0);
    equal(await code("get", name, "--timeout", "0"), 3);
    equal(await code("peek", name), 3);
    equal(await code("peek", "cli-none"), 4);
    equal(await code("put", name, "nonsense"), 1);
    equal(await code("put", name, "1", "--connection", "amqp://127.0.0.1:1?retryTimeout=0"), 2);
    equal(await code("put", name, "1", "--connection", "memory:"), 2);
    equal(await code("put", name, "1", "--nothing"), 2);
    equal(await code("nothing"), 2);
    equal(await code("get", name, "--timeout", "x"), 2);
    await channel.closeAll({ drain: true });
    equal(await code("get", name), 4);
    equal(await code("get", name, "--follow"), 0);
    equal(await code("put", name, "1"), 4);
  }));

cliTest("stderr says what is wrong, and no password", async () => {
  const args = [
    "put",
    "x",
    "1",
    "--connection",
    "amqp://me:hidden@127.0.0.1:1",
    "--timeout",
    "100",
  ];
  const failed = await runCli(args);
  deepEqual([failed.code, failed.stdout], [1, ""]);
  match(failed.stderr, /^channelts: put: .*127\.0\.0\.1:1/);
  ok(!failed.stderr.includes("hidden"), failed.stderr);
  const unknown = await runCli(["gte", "x"]);
  equal(unknown.stderr, "channelts: unknown command 'gte'; did you mean get?\n");
  const none = await runCli(["get", "x"], {
    env: { HOME: folder, DENO_DIR: process.env.DENO_DIR ?? join(process.env.HOME!, ".cache/deno") },
  });
  match(
    none.stderr,
    /^channelts: get: the channels of memory: end with this program; name a broker/,
  );
});

cliTest(
  "values of each notation, and what JSON does not have",
  () =>
    withChannel(async (channel, name) => {
      const run = (args: string[], input?: string | Uint8Array) =>
        runCli(args, { env, ...input === undefined ? {} : { input } });
      await run(["put", name, "--raw", "one", "-5"]);
      await run(["put", name, "-5", "1.5e3"]);
      await run(["put", name, "--raw"], "a\r\nb\n");
      await run(["put", name, "--raw", "--null"], "a\nb\0c");
      const got = [];
      for (let i = 0; i < 8; i++) got.push(await channel.get({ timeout: 0 }));
      deepEqual(got, ["one", "-5", -5, 1500, "a", "b", "a\nb", "c"]);

      const bytes = Uint8Array.from({ length: 256 * 300 }, (_, i) => i % 251);
      writeFileSync(join(folder, "bytes"), bytes);
      equal(
        (await run(["put", name, "--file", join(folder, "bytes"), "--file", "-"], bytes)).code,
        0,
      );
      deepEqual(await channel.get({ timeout: 0 }), bytes);
      const raw = await run(["get", name, "--raw"]);
      deepEqual(Uint8Array.from(raw.bytes), bytes);

      const value = { map: new Map([[1, { at: new Date(0) }]]), big: 2n ** 70n, none: undefined };
      await channel.put(value);
      const refused = await run(["get", name]);
      equal(refused.code, 1);
      match(
        refused.stderr,
        /^channelts: get: the value at .map is a Map, which JSON does not have; add --cbor or --lossy; the value is back in the channel\n$/,
      );
      const exact = await run(["get", name, "--cbor"]);
      equal((await run(["put", name, "--cbor"], Uint8Array.from([...exact.bytes, 0x07]))).code, 0);
      deepEqual(await channel.get({ timeout: 0 }), value);
      equal(await channel.get({ timeout: 0 }), 7);
      await channel.put(value);
      const lossy = await run(["get", name, "--lossy"]);
      equal(
        lossy.stdout,
        '{"map":[[1,{"at":"1970-01-01T00:00:00.000Z"}]],"big":"1180591620717411303424","none":null}\n',
      );
      const broken = await run(["put", name], '1\n2\n{"a"\n4\n');
      deepEqual([broken.code, broken.stderr], [
        1,
        'put: 2 values were put before\nchannelts: stdin: line 3 is not JSON: {"a"; for plain text, add --raw\n',
      ]);
      equal(await channel.depth(), 2);
    }),
);

cliTest("a message that cannot be decoded stays, and pipe moves it with the others", async () => {
  const [from, to] = [newName(), newName()];
  const { DatabaseSync } = await import("node:sqlite");
  const channel = new Channel<unknown>({ name: from, connection: uri });
  for (const value of [1, 2, 3]) await channel.put(value);
  await channel.close();
  const database = new DatabaseSync(join(folder, "channels.db"));
  database.exec("PRAGMA busy_timeout = 5000");
  database.prepare(
    "UPDATE messages SET body = ? WHERE id = " +
      "(SELECT min(m.id) FROM messages m JOIN channels c ON c.id = m.channel WHERE c.name = ?)",
  ).run(Uint8Array.of(0xff, 0xff), from);
  database.close();
  const got = await runCli(["get", from], { env });
  equal(got.code, 1, got.stdout);
  match(got.stderr, /cannot be decoded.*; the value is back in the channel/);
  const peeked = await runCli(["peek", from], { env });
  deepEqual([peeked.code, peeked.stdout], [0, "2\n3\n"]);
  match(peeked.stderr, /^channelts: peek: value 1: a message cannot be decoded/);
  equal((await runCli(["pipe", from, to], { env })).code, 0);
  const moved = new Channel<unknown>({ name: to, connection: uri });
  equal(await moved.depth(), 3);
  await moved.close();
});

cliTest(
  "pipe moves a queue to a broker and back, with the channels inside values",
  () =>
    withChannel(async (channel, name) => {
      const far = new Channel<unknown>({ name: `cli-${crypto.randomUUID()}`, connection: broker });
      const reply = new Channel<string>({ name: `${far.name}-reply`, connection: broker });
      try {
        for (let n = 0; n < 500; n++) await channel.put({ n });
        const there = await runCli(["pipe", name, far.name, "--to", broker], { env });
        deepEqual([there.code, there.stderr], [0, "pipe: 500 values moved\n"]);
        equal(await channel.depth(), 0);
        await far.put({ reply });
        const back = await runCli(["pipe", far.name, name, "--to", uri, "--json"], {
          env: { CHANNELTS_URI: broker },
        });
        deepEqual([back.code, back.stdout], [0, '{"moved":501}\n'], back.stderr);
        for (let n = 0; n < 500; n++) deepEqual(await channel.get({ timeout: 0 }), { n });
        const { reply: received } = await channel.get({ timeout: 0 }) as { reply: Channel<string> };
        await received.put("arrived");
        equal(await reply.get({ timeout: 20_000 }), "arrived");
        await received.close();
      } finally {
        await reply.delete();
        await far.delete();
      }
    }),
);

cliTest(
  "pipe passes values through a program, or gives them back",
  () =>
    withChannel(async (channel, name) => {
      const to = newName();
      for (let n = 1; n <= 250; n++) await channel.put(n);
      const failed = await runCli(["pipe", name, to, "--", "sh", "-c", "head -n 3; exit 7"], {
        env,
      });
      equal(failed.code, 1);
      match(
        failed.stderr,
        /channelts: pipe: sh ended with code 7; its values are back in the channel/,
      );
      equal(await channel.depth(), 250);
      const missing = await runCli(["pipe", name, to, "--", "no-such-program"], { env });
      deepEqual([missing.code, await channel.depth()], [1, 250]);
      const passed = await runCli(["pipe", name, to, "--", "grep", "7"], { env });
      deepEqual([passed.code, passed.stderr], [0, "pipe: 250 values moved\n"]);
      const target = new Channel<number>({ name: to, connection: uri });
      const expected = Array.from({ length: 250 }, (_, i) => i + 1).filter((n) =>
        `${n}`.includes("7")
      );
      for (const n of expected) equal(await target.get({ timeout: 0 }), n);
      equal(await target.depth(), 0);
      await target.close();
    }),
);

cliTest(
  "peek shows the first values and leaves them in their order",
  () =>
    withChannel(async (channel, name) => {
      for (let n = 1; n <= 12; n++) await channel.put(n);
      const peeked = await runCli(["peek", name], { env });
      equal(peeked.stdout, Array.from({ length: 10 }, (_, i) => `${i + 1}\n`).join(""));
      const one = await runCli(["peek", name, "-n", "1", "--json"], { env });
      deepEqual(JSON.parse(one.stdout), { value: 1, attempts: 2, redelivered: true });
      for (let n = 1; n <= 12; n++) equal(await channel.get({ timeout: 0 }), n);
    }),
);

cliTest(
  "tail prints broadcasts, and ends when its reader does",
  () =>
    withChannel(async (channel, name) => {
      await using tail = await startCli(["tail", name, "-n", "2"], { env });
      await tail.until(({ stderr }) => stderr.includes("listening"));
      await channel.broadcast({ price: 1 });
      await channel.broadcast("two");
      const { code, stdout } = await tail.ended;
      deepEqual([code, stdout], [0, '{"price":1}\n"two"\n']);
      equal((await runCli(["tail", name, "--timeout", "50"], { env })).code, 3);
    }),
);

cliTest(
  "request prints the error of a server and makes a request for each line",
  () =>
    withChannel(async (channel, name) => {
      const stop = new AbortController();
      const serving = serve(channel, (value) => {
        if (value === "bad") throw new RangeError("it is \x1b[31mbad\x9b");
        return [value];
      }, { signal: stop.signal });
      const failed = await runCli(["request", name, "--raw", "bad"], { env });
      deepEqual([failed.code, failed.stderr], [
        1,
        // A terminal would obey the control characters.
        "channelts: request: the server has failed: RangeError: it is \\u001b[31mbad\\u009b\n",
      ]);
      const replies = await runCli(["request", name], { env, input: '1\n"x"\n' });
      deepEqual([replies.code, replies.stdout], [0, '[1]\n["x"]\n']);
      stop.abort();
      await serving;
      equal((await runCli(["request", name, "1", "--timeout", "50"], { env })).code, 3);
    }),
);

cliTest(
  "serve reports a program that fails, and runs several at a time",
  () =>
    withChannel(async (channel, name) => {
      const script = 'read line; case "$line" in 1) exit 3;; *) sleep 0.5; echo "[$line]";; esac';
      const args = ["serve", name, "--concurrency", "4", "--", "sh", "-c", script];
      await using serving = await startCli(args, { env });
      await serving.until(({ stderr }) => stderr.includes("waiting"));
      const failure = await channel.request(1).then(() => undefined, (error) => error);
      equal(failure?.message, "the program ended with code 3");
      const replies = await Promise.all([2, 3, 4, 5].map((n) => channel.request(n)));
      deepEqual(replies, [[2], [3], [4], [5]]);
    }),
);

cliTest(
  "Ctrl-C in a terminal lets serve finish its request; a second one gives it back",
  () =>
    withChannel(async (channel, name) => {
      const started = join(folder, "started");
      const script = `touch ${started}; while [ ! -e ${started}.go ]; do sleep 0.05; done; echo 1`;
      await using serving = await startCli(["serve", name, "--", "sh", "-c", script], { env });
      await serving.until(({ stderr }) => stderr.includes("waiting"));
      const requested = channel.request("work").then(String, String);
      await until(() => existsSync(started));
      serving.signal("SIGINT");
      writeFileSync(`${started}.go`, "");
      equal(await requested, "1");
      equal((await serving.ended).code, 130);

      const endless = await startCli([
        "serve",
        name,
        "--",
        "sh",
        "-c",
        `touch ${started}.2; exec sleep 600`,
      ], { env });
      try {
        await endless.until(({ stderr }) => stderr.includes("waiting"));
        const given = channel.request("work", { timeout: 60_000 }).then(String, (error) => error);
        await until(() => existsSync(`${started}.2`));
        endless.signal("SIGINT");
        await endless.until(({ stderr }) => stderr.includes("a second Ctrl-C gives them back"));
        endless.signal("SIGINT");
        equal((await endless.ended).code, 130);
        const stop = new AbortController();
        const serving = serve(channel, () => "taken over", { signal: stop.signal });
        equal(await given, "taken over");
        stop.abort();
        await serving;
      } finally {
        await endless[Symbol.asyncDispose]();
      }
    }),
);

cliTest(
  "Ctrl-C while put reads from stdin keeps what it has put",
  () =>
    withChannel(async (channel, name) => {
      await using putting = await startCli(["put", name], { env });
      putting.process.stdin!.write("1\n2\n");
      await until(async () => await channel.depth() === 2);
      putting.signal("SIGINT");
      const { code, stderr } = await putting.ended;
      deepEqual([code, stderr], [130, "put: 2 values were put before\n"]);
    }),
);

cliTest("Ctrl-C gives puts in progress time to end", async () => {
  const name = newName();
  const channel = new Channel<number>({ name, connection: uri, capacity: 1 });
  await channel.depth();
  await using putting = await startCli(["put", name], { env });
  putting.process.stdin!.write("1\n2\n");
  await until(async () => await channel.depth() === 1); // the other one waits for room
  putting.signal("SIGINT");
  equal(await channel.get(), 1);
  const { code, stderr } = await putting.ended;
  deepEqual([code, stderr], [130, "put: 2 values were put before\n"]);
  equal(await channel.get(), 2);
  await channel.delete();
});

cliTest("put waits for room before it reads more of stdin", async () => {
  const name = newName();
  const channel = new Channel<number>({ name, connection: uri, capacity: 10 });
  await channel.put(-1);
  await using putting = await startCli(["put", name], { env });
  const { stdin } = putting.process;
  const line = `${"1".repeat(1000)}\n`;
  let written = 0;
  while (written < 20_000) { // 20 MB, more than the pipe and the puts in progress hold
    if (!stdin!.write(line) && !await drained(stdin!)) break;
    written++;
  }
  ok(written < 20_000, `${written} lines were read`);
  await channel.closeAll({ drain: true });
  equal((await putting.ended).code, 4);
  await channel.delete();
});

/** Reports whether a stream that is full is read within half a second. */
function drained(stream: NodeJS.WritableStream): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 2000);
    stream.once("drain", () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

cliTest(
  "with the reader of stdout gone, get keeps the value in the channel",
  () =>
    withChannel(async (channel, name) => {
      await using getting = await startCli(["get", name, "--follow"], { env });
      await channel.put("first");
      await getting.until(({ stdout }) => stdout !== "");
      getting.process.stdout!.destroy();
      await channel.put("second");
      const { code, stderr } = await getting.ended;
      deepEqual([code, stderr], [1, "channelts: the reader of stdout has ended\n"]);
      equal(await channel.get({ timeout: 20_000 }), "second");
    }),
);

cliTest("the help of every command has its options, and examples of it", async () => {
  const { commandTable } = await import("../src/cli/command_table.ts");
  const { stdout, code } = await runCli(["--help"]);
  equal(code, 0);
  for (const [name, { summary, load }] of Object.entries(commandTable)) {
    match(
      stdout,
      new RegExp(`^  ${name} +${summary.slice(0, 20).replaceAll(/[^\w ]/g, ".")}`, "m"),
    );
    const { command } = await load();
    ok(command.examples.length > 0, name);
    ok(command.examples.some(({ line }) => line.includes(`channelts ${name} `)), name);
    for (const { line } of command.examples) {
      for (const part of line.split("\n")) ok(part.length <= 98, `${name}: ${part}`);
    }
  }
  const help = await runCli(["help", "get"]);
  const same = await runCli(["get", "--help"]);
  equal(help.stdout, same.stdout);
  match(
    help.stdout,
    /^Usage: channelts get .*\n[^]*--follow[^]*Examples:\n {2}# wait for a value\n {2}channelts get jobs\n/,
  );
});

cliTest("the paragraphs of the help fill lines of 80 columns", async () => {
  for (const name of ["get", "doctor", "stats"]) {
    const { stdout } = await runCli(["help", name]);
    const text = stdout.replace(/\nExamples:\n[^]*/, "").split("\n");
    deepEqual(text.filter((line) => line.length > 80), []);
    const short = text.filter((line, i) =>
      /^\S/.test(line) && /^\S/.test(text[i + 1] ?? "") &&
      `${line} ${text[i + 1]!.split(" ", 1)[0]}`.length <= 80
    );
    deepEqual(short, []);
  }
});

cliTest("a message about wrong arguments says what to do", async () => {
  const messages: Readonly<Record<string, string>> = {
    "get": `get: missing required argument 'name'; see "channelts help get"`,
    "get x --timout 5": "get: unknown option '--timout'; did you mean --timeout?",
    "get x --timeout y": "get: option '--timeout <ms>' argument 'y' is invalid; it must be " +
      `milliseconds, such as 5000; see "channelts help get"`,
    "help nonsense": `unknown command 'nonsense'; see "channelts help"`,
    "home http://127.0.0.1":
      "listen: http://127.0.0.1 is no address to listen on; use zmq:, ws: or wss:",
  };
  for (const [args, message] of Object.entries(messages)) {
    const { code, stdout, stderr } = await runCli(args.split(" "));
    deepEqual([code, stdout, stderr], [2, "", `channelts: ${message}\n`]);
  }
});

cliTest("the version is that of the package", async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  equal((await runCli(["--version"])).stdout, `${version}\n`);
});

cliTest("on Deno, put and get ask for no permission beside those of the connection", async () => {
  const name = `cli-${crypto.randomUUID()}`;
  const { hostname, port } = new URL(broker.replace(/^amqp/, "http"));
  const [deno] = (await findRuntime("deno")).command;
  const flags = [
    "run",
    "--no-prompt",
    `--allow-net=${hostname}:${port || 5672}`,
    "--allow-env=CHANNELTS_URI",
  ];
  const command = [deno, ...flags] as const;
  const runtime = { name: "deno", title: "Deno", command } as const;
  const channel = new Channel({ name, connection: broker });
  try {
    const options = { runtime, env: { CHANNELTS_URI: broker } };
    const put = await runCli(["put", name, "1"], options);
    deepEqual([put.code, put.stderr], [0, ""]);
    const got = await runCli(["get", name], options);
    deepEqual([got.code, got.stdout, got.stderr], [0, "1\n", ""]);
  } finally {
    await channel.delete();
  }
});
