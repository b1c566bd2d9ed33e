// A put that the home has taken, and whose answer is lost because the home is killed, is sent again to the next home.

import { deepEqual, equal, match } from "node:assert/strict";
import process from "node:process";
import { randomUUID } from "node:crypto";
import { Channel } from "../mod.ts";
import { Home } from "../src/home/home.ts";
import { until, within } from "./conformance/fixture.ts";
import { HomeServer } from "./faults/home_server.ts";
import { startHome } from "./homes/home_process.ts";
import { startProxy } from "./support/proxy.ts";
import { rawPeer } from "./support/raw_peer.ts";
import { startRedis } from "./support/redis.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";

/** The engines' connections stay open for a moment. */
const unsanitized = { sanitizeOps: false, sanitizeResources: false };

const engines: Record<string, () => Promise<{ uri: string } & AsyncDisposable>> = {
  memory: () => Promise.resolve(engineAt("memory:copies")),
  SQLite: () => Promise.resolve(engineAt(`sqlite:${sqliteDirectory()}/copies.db`)),
  RabbitMQ: () => Promise.resolve(engineAt(process.env.BROKER!)),
  Redis: () => startRedis(),
};

function engineAt(uri: string): { uri: string } & AsyncDisposable {
  return { uri, [Symbol.asyncDispose]: () => Promise.resolve() };
}

for (const [title, start] of Object.entries(engines)) {
  Deno.test(
    `home: on ${title}, a copy is marked for peers and for the home's own channels`,
    unsanitized,
    async () => {
      await using engine = await start();
      await using home = new Home({ connection: engine.uri });
      const name = `copies ${randomUUID()}`;
      const peer = rawPeer(home);
      peer.send('HELLO {"version":1}');
      peer.send(`OPEN 1 2 {"name":"${name}","create":true}`);
      await peer.next();
      equal(await peer.next(), "OK 2");
      const type = '"contentType":"application/json"';
      peer.send(`PUT 1 3 {${type},"id":"cts.1","headers":{"traceparent":"x"},"copy":2}`, "1");
      equal(await peer.next(), "OK 3");
      peer.send("TAKE 1 4");
      const lent = await peer.next();
      match(lent, /^LEND 4 1 1 /);
      const properties = JSON.parse(lent.slice(lent.indexOf("{"), lent.indexOf("\n")));
      deepEqual(properties, {
        contentType: "application/json",
        id: "cts.1",
        headers: { traceparent: "x" },
        copy: 2,
      });
      peer.send("ACC 4");
      peer.send(`PUT 1 5 {${type},"id":"cts.2","copy":1}`, "2");
      peer.send(`PUT 1 6 {${type},"id":"cts.3"}`, "3");
      equal(await peer.next(), "OK 5");
      equal(await peer.next(), "OK 6");
      const ch = new Channel<number>({ name, connection: home, encoding: "json" });
      const copy = await within(ch.receive());
      deepEqual([copy.value, copy.redelivered], [2, true]);
      copy.accept();
      const plain = await within(ch.receive());
      deepEqual([plain.value, plain.redelivered], [3, false]);
      plain.accept();
      peer.send(`PUT 1 7 {${type},"id":"cts.4","copy":2147483648}`, "4");
      match(await peer.next(), /^NO 7 .*\\"copy\\" takes at most 2147483647/);
      peer.end();
      await ch.delete();
    },
  );
}

Deno.test("home: with the delay of a file, a copy stays marked", unsanitized, async () => {
  await using home = new Home({ connection: `sqlite:${sqliteDirectory()}/delayed.db` });
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1}');
  peer.send('OPEN 1 2 {"name":"late","create":true}');
  peer.send('PUT 1 3 {"contentType":"application/json","id":"cts.1","delay":1,"copy":1}', "1");
  peer.send("TAKE 1 4");
  let frame = "";
  while (!frame.startsWith("LEND")) frame = await peer.next();
  match(frame, /"copy":1/);
  peer.end();
});

Deno.test(
  "home: a put whose answer was lost with a killed home is got once by a process, and its copy is marked",
  unsanitized,
  async () => {
    await using home = await startHome({ engine: `sqlite:${sqliteDirectory()}/killed.db` });
    const server = new HomeServer(home);
    await using proxy = await startProxy(server.port, server.framing);
    const name = "jobs";
    await using producer = new Channel<number>({ name, connection: server.uriAt(proxy.port) });
    await producer.put(0);
    proxy.cutEachIn("from", 1); // no further connection is greeted
    const cut = proxy.cutInFrame("from", 1); // the answer to the put does not arrive
    const put = producer.put(1);
    await within(cut);
    await home.crash();
    await home.start();
    proxy.cutEachIn("from", undefined);
    await within(put, 30_000);

    await using first = new Channel<number>({ name, connection: server.uri });
    equal(await first.depth(), 3); // both copies were put
    const values = [await first.get(), await first.get()];
    await first.put(2);
    values.push(await within(first.get()));
    deepEqual(values, [0, 1, 2]);
    await until(async () => await first.depth() === 0);
  },
);
