// The connection to a Redis, against servers that are played here: what it sends, and what hostile and broken servers do.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { Socket } from "node:net";
import { ChannelConnectionError } from "../mod.ts";
import { CommandBuffer } from "../src/transports/redis/connection/command_buffer.ts";
import { RedisConnection } from "../src/transports/redis/connection/redis_connection.ts";
import { RedisRefusal, RespError } from "../src/transports/redis/connection/reply_reader.ts";
import { RedisSession } from "../src/transports/redis/connection/session.ts";
import { parseRedisUri } from "../src/transports/redis/uri.ts";
import { ProcessRef } from "../src/transports/remote/process_ref.ts";
import { rejection, within } from "./conformance/fixture.ts";
import { PlayedServer } from "./support/played_server.ts";

interface Opened {
  readonly connection: RedisConnection;
  readonly heard: string[];
  /** The shard channels to which the server has ended the subscription. */
  readonly ended: string[];
  /** Resolves with the reason when the connection is lost. */
  readonly lost: Promise<Error>;
}

async function open(port: number): Promise<Opened> {
  const heard: string[] = [];
  const ended: string[] = [];
  let lose!: (error: Error) => void;
  const lost = new Promise<Error>((resolve) => lose = resolve);
  const connection = await RedisConnection.open({ host: "127.0.0.1", port }, undefined, {
    made() {},
    published: (bytes) => heard.push(String(bytes)),
    unsubscribed: (channel) => ended.push(channel),
    lost: lose,
  });
  return { connection, heard, ended, lost };
}

const done = new Error("the test is over");

Deno.test("redis connection: the commands of a turn leave in one write, and are answered in their order", async () => {
  const chunks: string[] = [];
  await using server = await PlayedServer.start((socket) =>
    socket.on("data", (bytes) => {
      chunks.push(String(bytes));
      socket.write("+a\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nnews\r\n:2\r\n-ERR no\r\n");
    })
  );
  const { connection, heard } = await open(server.port);
  const a = connection.send(["A", "ü"], [Buffer.from([255, 0])]);
  const b = Promise.resolve().then(() => connection.send(["B"]));
  const c = connection.send(["C"]);
  const refused = rejection(b, RedisRefusal);
  assert.deepEqual(await within(Promise.all([a, c])), ["a", 2]);
  assert.equal((await refused).message, "ERR no");
  assert.deepEqual(heard, ["news"]);
  assert.deepEqual(chunks.length, 1);
  const bytes = Buffer.from("*3\r\n$1\r\nA\r\n$2\r\nü\r\n$2\r\n").length;
  assert.ok(chunks[0]!.endsWith("*1\r\n$1\r\nC\r\n*1\r\n$1\r\nB\r\n") && bytes > 0);
  connection.destroy(done);
});

Deno.test("redis connection: commands as bytes; a large argument is not copied", () => {
  const buffer = new CommandBuffer();
  assert.deepEqual(buffer.take(), []);
  buffer.add(["SET", "ü"], [Buffer.from([255, 13, 10])]);
  const large = Buffer.alloc(100_000, 1);
  buffer.add(["X"], [large, "y"]);
  const pieces = buffer.take();
  assert.ok(pieces.includes(large));
  const expected = Buffer.concat([
    Buffer.from("*3\r\n$3\r\nSET\r\n$2\r\nü\r\n$3\r\n"),
    Buffer.from([255, 13, 10]),
    Buffer.from("\r\n*3\r\n$1\r\nX\r\n$100000\r\n"),
    large,
    Buffer.from("\r\n$1\r\ny\r\n"),
  ]);
  assert.ok(Buffer.concat(pieces).equals(expected));
  assert.deepEqual(buffer.take(), []);
});

Deno.test("redis connection: what was not answered rejects with the reason of the loss, and so does what follows", async () => {
  await using server = await PlayedServer.start((socket) =>
    socket.once("data", () => socket.end("+a\r\n$10\r\nhalf"))
  );
  const { connection, lost } = await open(server.port);
  const answers = [connection.send(["A"]), connection.send(["B"]), connection.send(["C"])];
  const rejections = answers.slice(1).map((answer) => rejection(answer, Error));
  assert.equal(await answers[0], "a");
  const reason = await within(lost);
  for (const each of rejections) assert.equal(await each, reason);
  assert.equal(await rejection(connection.send(["D"]), Error), reason);
});

Deno.test("redis connection: it ends when the server sends what it must not", async () => {
  for (
    const [says, isRefusal] of [
      ["HTTP/1.1 400 Bad Request\r\n\r\n", false],
      [":1\r\n:2\r\n", false],
      ["$99999999999\r\n", false],
      [":1\r\n-ERR max number of clients reached\r\n", true],
    ] as const
  ) {
    await using server = await PlayedServer.start((socket) =>
      socket.once("data", () => socket.write(says))
    );
    const { connection, lost } = await open(server.port);
    connection.send(["A"]).catch(() => {}); // some have answered it before
    const reason = await within(lost);
    assert.ok(reason instanceof (isRefusal ? RedisRefusal : RespError), says);
  }
});

Deno.test("redis connection: the end of a subscription that nobody asked for is told from one that was asked for", async () => {
  const push = (kind: string, channel: string) =>
    `>3\r\n$${kind.length}\r\n${kind}\r\n$${channel.length}\r\n${channel}\r\n:0\r\n`;
  const mark = "$12\r\nunsubscribed\r\n";
  const says = [
    // asked for, and answered
    push("ssubscribe", "a") + ">3\r\n+smessage\r\n+a\r\n$1\r\nx\r\n" + "+1\r\n" +
    push("sunsubscribe", "a") + mark +
    "+2\r\n",
    // the slot moves before the command arrives, which is refused then; so is a script
    push("ssubscribe", "a") + "+1\r\n" + push("sunsubscribe", "a") + "-MOVED 1 b:1\r\n" + mark +
    "-MOVED 1 b:1\r\n",
    // the slot moved before the answer to an earlier command
    push("ssubscribe", "a") + push("sunsubscribe", "a") + "+1\r\n-MOVED 1 b:1\r\n" + mark +
    "+2\r\n",
    // the end of another subscription, and of one to which there was none
    push("ssubscribe", "a") + "+1\r\n" + push("sunsubscribe", "b") + push("sunsubscribe", "a") +
    mark + "+2\r\n",
  ];
  const found: [string[], string | undefined][] = [];
  for (const answer of says) {
    await using server = await PlayedServer.start((socket) => {
      let text = "";
      socket.on("data", (bytes) => {
        text += String(bytes);
        if (text.includes("LAST")) socket.write(answer);
      });
    });
    const { connection, ended } = await open(server.port);
    const subscribed = connection.subscribe("a", true);
    const first = connection.send(["FIRST"]);
    connection.unsubscribe("a", true);
    const last = connection.send(["LAST"]).catch((error: Error) => error.message.slice(0, 5));
    await within(subscribed);
    assert.equal(await within(first), "1");
    found.push([ended, String(await within(last))]);
    connection.destroy(done);
  }
  assert.deepEqual(found, [[[], "2"], [[], "MOVED"], [["a"], "2"], [["b"], "2"]]);
});

Deno.test("redis connection: pushes that nobody waits for are ignored", async () => {
  await using server = await PlayedServer.start((socket) =>
    socket.once("data", () =>
      socket.write(
        ">0\r\n>2\r\n+invalidate\r\n_\r\n>3\r\n+subscribe\r\n+other\r\n:1\r\n+a\r\n" +
          ">3\r\n+subscribe\r\n+c\r\n:1\r\n>3\r\n+subscribe\r\n+c\r\n:1\r\n+b\r\n",
      ))
  );
  const { connection, heard } = await open(server.port);
  const answers = [connection.send(["A"]), connection.subscribe("c"), connection.send(["B"])];
  assert.deepEqual(await within(Promise.all(answers)), ["a", 1, "b"]);
  assert.deepEqual(heard, []);
  connection.destroy(done);
});

Deno.test("redis: servers that are none are told from others, and no attempt to connect outlasts its time", async () => {
  for (
    const [says, expected] of [
      ["HTTP/1.1 400 Bad Request\r\n\r\n", /does not answer as a Redis server/],
      ["-ERR unknown command 'HELLO'\r\n", /is too old/],
      ["-ERR max number of clients reached\r\n", /allows no more clients/],
      ["-DENIED Redis is running in protected mode\r\n", /protected mode/],
      [
        "-NOAUTH HELLO must be called with the client already authenticated\r\n",
        /asks for a password/,
      ],
      ["-LOADING Redis is loading the dataset in memory\r\n", /LOADING/],
      ["*2\r\n$5\r\nabcdefgh", /does not answer as a Redis server.*no reply of a Redis/],
      ["*2\r\n$5\r\n", /does not answer as a Redis server.*no answer within 300 ms/],
      ["", /does not answer as a Redis server.*no answer within 300 ms/],
    ] as const
  ) {
    await using server = await PlayedServer.start((socket) => {
      if (/max number|DENIED/.test(says)) socket.end(says);
      else socket.once("data", () => socket.write(says));
    });
    const error = await rejection(
      connect(server.port, /no answer/.test(expected.source) ? 300 : 60_000),
      ChannelConnectionError,
    );
    assert.match(error.message, expected);
  }
});

Deno.test("redis: an attempt to connect ends when it is aborted, and closes its socket", async () => {
  let connected!: (socket: Socket) => void;
  const accepted = new Promise<Socket>((resolve) => connected = resolve);
  await using server = await PlayedServer.start((socket) => connected(socket.resume()));
  const controller = new AbortController();
  const connecting = rejection(
    connect(server.port, 60_000, controller.signal),
    ChannelConnectionError,
  );
  const closed = once(await within(accepted), "close");
  controller.abort(new Error("nobody waits any more"));
  assert.match((await connecting).message, /nobody waits any more/);
  await within(closed);
});

function connect(port: number, timeout: number, signal = new AbortController().signal) {
  const uri = parseRedisUri(`redis://127.0.0.1:${port}`);
  const options = { uri, tls: {}, processRef: new ProcessRef(), warn() {} };
  options.processRef.ref();
  return RedisSession.connect(options, uri.endpoints[0]!, timeout, signal);
}
