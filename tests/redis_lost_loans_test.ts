// A link that loses what it holds to another process, because its connection was away, and gets it again.
import assert from "node:assert/strict";
import { Channel } from "../mod.ts";
import { until, within } from "./conformance/fixture.ts";
import { startProxy } from "./support/proxy.ts";
import { startRedis } from "./support/redis.ts";
import { withAdmin } from "./support/redis_setup.ts";

for (const when of ["accepted while it was away", "held"] as const) {
  for (const way of ["waits", "looks"] as const) {
    Deno.test(`redis: a process that ${way} is not given again what it has ${when}`, async () => {
      await using redis = await startRedis();
      await using proxy = await startProxy(Number(new URL(redis.uri).port), "resp");
      const name = "jobs";
      const near = new Channel<string>({ name, connection: redis.uri });
      const far = new Channel<string>({
        name,
        connection: `redis://127.0.0.1:${proxy.port}`,
        retryTimeout: 60_000,
      });
      await near.put("first");
      const held = await far.receive();
      proxy.cutEachIn("to", 1);
      proxy.cut();
      const lent = await within(near.receive());
      assert.equal(lent.value, "first");
      if (when !== "held") held.accept();
      proxy.cutEachIn("to", undefined);
      await far.depth(); // it is attached again
      const has = async (key: "depth" | "loans" | "consumers", count: number) =>
        (await near.stats())[key] === count;
      const getting = way === "waits" ? far.get() : undefined;
      if (getting !== undefined) await until(() => has("consumers", 1), 20_000);
      lent.release();
      if (getting !== undefined && when === "held") await until(() => has("loans", 1), 20_000);
      else await until(() => has("loans", 0), 20_000);
      await near.put("second");
      const got = getting !== undefined ? await within(getting) : await far.tryGet();
      assert.deepEqual(got, getting !== undefined ? "second" : { status: "ok", value: "second" });
      if (when === "held") {
        await until(() => has("loans", 1), 20_000);
        held.accept();
      }
      await until(() => has("loans", 0), 20_000);
      assert.ok(await has("depth", 0));
      await Promise.all([near.close(), far.close()]);
    });
  }
}

Deno.test("redis: a handle whose attachment is answered after it was closed keeps no value", async () => {
  await using redis = await startRedis();
  const run = (...command: string[]) =>
    withAdmin(redis.uri, async (admin) => void await admin.sendCommand(command));
  const options = { name: "jobs", retryTimeout: 20_000 };
  const connection = `${redis.uri}?name=taker`;
  const other = new Channel<string>({ ...options, name: "other", connection });
  await other.put("the process and its connection stay");
  const taker = new Channel<string>({ ...options, connection });
  await taker.put("first");
  const held = await taker.receive();
  assert.equal(held.value, "first");
  await run("CLIENT", "PAUSE", "4000", "WRITE"); // the connection opens again, and the attachment waits
  await run("CLIENT", "KILL", "TYPE", "pubsub");
  await until(() =>
    withAdmin(redis.uri, async (admin) => {
      const clients = String(await admin.sendCommand(["CLIENT", "LIST"]));
      return / name=taker .* flags=\S*b\S* /.test(clients); // it is blocked
    })
  );
  await within(taker.close());
  const near = new Channel<string>({ ...options, connection: redis.uri });
  assert.equal(await within(near.get(), 30_000), "first");
  await Promise.all([near.close(), other.close()]);
});
