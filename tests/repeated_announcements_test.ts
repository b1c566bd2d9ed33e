// The connection of a process that announces something is cut before the answer arrives: the announcement is sent again,
// and each listener hears it once.
import { deepEqual, equal } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel } from "../mod.ts";
import { connectionsRest, within } from "./conformance/fixture.ts";
import { HomeServer } from "./faults/home_server.ts";
import { RedisFaultServer } from "./faults/redis_server.ts";
import { startHome } from "./homes/home_process.ts";
import type { Framing } from "./support/framing.ts";
import { type Proxy, startProxy } from "./support/proxy.ts";
import { startRedis } from "./support/redis.ts";

/** How many frames after the call the connection is cut, in one round each. */
const frames = [1, 1, 1, 2, 3, 4];

/** A server, and a proxy before it. */
interface Way {
  readonly uri: string;
  readonly throughProxy: string;
  readonly proxy: Proxy;
}

async function announces({ uri, throughProxy, proxy }: Way): Promise<void> {
  const name = `announced ${randomUUID()}`;
  const sender = new Channel<string>({ name, connection: throughProxy });
  const listener = new Channel<string>({ name, connection: uri });
  const heard = listener.broadcasts();
  const near = sender.dup();
  const heardNear = near.broadcasts(); // in the sender's process, on its connection
  await Promise.all([heard.ready, heardNear.ready]);
  const sent: string[] = [];
  for (const [i, n] of frames.entries()) {
    await sender.depth(); // attached
    const cut = proxy.cutInFrame("from", n);
    const more = [`${i} a`, `${i} b`, `${i} c`];
    await within(Promise.all(more.map((each) => sender.broadcast(each))), 20_000);
    proxy.cut();
    await cut;
    sent.push(...more);
  }
  await sender.broadcast("end");
  const got: string[] = [];
  for await (const each of heard) {
    if (each === "end") break;
    got.push(each);
  }
  deepEqual(got.toSorted(), sent.toSorted());
  equal(heardNear.missed, 0);
  await sender.delete();
  for (const each of [sender, near, listener]) await each.close();
  await connectionsRest();
}

async function proxied(port: number, framing: Framing, test: (proxy: Proxy) => Promise<void>) {
  await using proxy = await startProxy(port, framing);
  await test(proxy);
}

Deno.test("amqp: a broadcast whose confirmation is lost is heard once", async () => {
  const broker = new URL(process.env.BROKER!);
  await proxied(Number(broker.port || 5672), "amqp", async (proxy) => {
    equal(broker.protocol, "amqp:");
    const through = new URL(broker);
    through.host = `127.0.0.1:${proxy.port}`;
    await announces({ uri: broker.href, throughProxy: through.href, proxy });
  });
});

Deno.test("redis: a broadcast whose confirmation is lost is heard once", async () => {
  await using redis = await startRedis();
  const server = new RedisFaultServer(redis);
  await proxied(server.port, server.framing, async (proxy) => {
    await announces({ uri: server.uri, throughProxy: server.uriAt(proxy.port, "sender"), proxy });
  });
});

Deno.test("home: a broadcast whose confirmation is lost is heard once", async () => {
  await using home = await startHome();
  const server = new HomeServer(home);
  await proxied(server.port, server.framing, async (proxy) => {
    await announces({ uri: server.uri, throughProxy: server.uriAt(proxy.port), proxy });
  });
});
