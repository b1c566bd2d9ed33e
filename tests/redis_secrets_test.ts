// No error, log, address, reference, description or answer of a command contains a password of a Redis.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Channel, Connection } from "../mod.ts";
import { RedisTransport } from "../src/transports/redis/transport.ts";
import { inspector } from "../src/transports/redis/inspector.ts";
import { connectionsRest } from "./conformance/fixture.ts";
import { PlayedServer } from "./support/played_server.ts";
import { startRedis } from "./support/redis.ts";
import { withAdmin } from "./support/redis_setup.ts";
import { Words } from "./support/words.ts";

const secret = "hunter2 ä/:@";
const written = encodeURIComponent(secret);

/** What must not be seen, in any way to write it. */
const hidden = [secret, "hunter2", written, Buffer.from(secret).toString("base64")];

/** Puts through a connection, which may fail, and adds what is seen of it. */
async function use(words: Words, uri: string, options: object): Promise<unknown> {
  try {
    const connection = new Connection(uri, { retryTimeout: 300, logger: words.logger, ...options });
    const ch = new Channel<unknown>({ name: "jobs", connection });
    words.add(connection, connection.address, connection.stats, ch, ch.name);
    try {
      await ch.put(new Channel({ name: "inner", connection }), { timeout: 20_000 });
      words.add(await ch.receive().then((delivery) => (delivery.accept(), delivery)));
      await ch.put(() => {});
    } finally {
      await ch.close();
    }
  } catch (error) {
    words.add(error);
    return error;
  }
}

Deno.test("redis: no password is seen, whether the server takes it, refuses it, has none, or is none", async () => {
  const words = new Words(hidden);
  await using redis = await startRedis({ conf: [`user anna on ">${secret}" ~* &* +@all`] });
  const at = (host: string, user = `anna:${written}@`) => `redis://${user}${host}`;
  const host = `127.0.0.1:${redis.port}`;
  await using http = await PlayedServer.start((socket) =>
    // A server that sends back what it was sent.
    socket.on("data", (bytes) => socket.end(`-ERR unknown command ${bytes}\r\n`))
  );
  const uris = [
    at(host),
    at(host, `anna:hunter2@`),
    at(host, `nobody:${written}@`),
    at(host, `:${written}@`),
    at(`127.0.0.1:${http.port}`),
    at("127.0.0.1:1"),
    at(`${host}/99`),
    at(`127.0.0.1:1,${host}`),
    at(host).replace("redis:", "rediss:"),
    at(`${host}?unknown=1`),
    at(`${host}/x`),
    at("127.0.0.1:99999"),
    `redis://anna:%zz${written}@${host}`,
    `redis://anna:${secret}@${host}`,
  ];
  for (const uri of uris) await use(words, uri, {});
  await use(words, `redis://${host}`, { username: "anna", password: secret });
  await use(words, `redis://${host}`, { username: "bob", password: secret });
  words.add(new RedisTransport(uris[0]!));
  for (const uri of [uris[0]!, uris[1]!, uris[4]!]) {
    await inspector.inspect(uri, {
      name: "jobs",
      timeout: 5000,
      signal: new AbortController().signal,
      report: (finding) => words.add(finding),
    });
  }
  await withAdmin(redis.uri, async (admin) => {
    // Neither what is stored, nor what the server tells of its clients and its slowest commands.
    const keys = await admin.keys("*");
    for (const key of keys) if (key.endsWith(":bodies")) words.add(await admin.hGetAll(key));
    words.add(keys, String(await admin.sendCommand(["CLIENT", "LIST"])));
  });
  assert.ok(words.all.length > 100);
  words.check();
  await connectionsRest();
});
