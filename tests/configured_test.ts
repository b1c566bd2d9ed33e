import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelConfigError, ChannelConnectionError, type Connection } from "../mod.ts";
import { setShared } from "../src/connection/configured.ts";
import { SharedConnection } from "../src/connection/shared_connection.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { rejection } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";

/** Makes the engine's garbage collector callable. Bun's always is. */
const runtimeArgs = process.versions.deno
  ? ["-A", "--v8-flags=--expose-gc"]
  : process.versions.bun
  ? []
  : ["--expose-gc"];

Deno.test("an unreferenced connection is forgotten unless it was configured by name", async () => {
  const program = new URL("programs/unreferenced.ts", import.meta.url);
  const env = { CHANNELTS_URI: undefined, CHANNELTS_CONFIG: undefined };
  await using child = startChild(program, { runtimeArgs, env });
  const { atFirst, afterwards, value, grown } = await child.next() as {
    atFirst: string[];
    afterwards: string[];
    value: string;
    grown: number;
  };
  const counting = ["channel", "closed", "connection", "directed", "named", "arrived"];
  assert.deepEqual(atFirst, [...counting, "dropped", "dropped-too"]);
  assert.deepEqual(afterwards, counting);
  assert.equal(value, "kept"); // the values of a memory: channel stay whoever refers to it
  assert.ok(grown < 2_000_000, `20,000 URIs have left ${grown} bytes`);
});

/** Calls `body` with an empty directory as home and without the other variables, and restores them. */
async function withHome(body: (home: string) => Promise<void>): Promise<void> {
  const names = ["CHANNELTS_URI", "CHANNELTS_CONFIG", "HOME", "USERPROFILE"];
  const before = names.map((name) => [name, process.env[name]] as const);
  const home = mkdtempSync(join(tmpdir(), "channelts-configured-"));
  for (const name of names) delete process.env[name];
  process.env.HOME = home;
  try {
    await body(home);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(home, { recursive: true });
  }
}

Deno.test("a configuration that was rejected is read again by the next use, also of the same handle", () =>
  withHome(async (home) => {
    const [bad, good] = [join(home, "bad.yml"), join(home, "good.yml")];
    process.env.CHANNELTS_URI = "nonsense:x";
    assert.throws(() => new Channel("x"), ChannelConfigError);
    delete process.env.CHANNELTS_URI;
    process.env.CHANNELTS_CONFIG = join(home, "absent.yml");
    assert.throws(() => new Channel("x"), ChannelConfigError);

    process.env.CHANNELTS_CONFIG = bad;
    writeFileSync(bad, "connection: [nonsense]");
    const ch = new Channel<string>("x");
    const inner = new Channel("y");
    const carrier = new Channel<unknown>({ name: "carrier", connection: "memory:configured" });
    const twin = ch.dup();
    for (let tries = 0; tries < 2; tries++) {
      await rejection(ch.put("early"), ChannelConfigError);
      await rejection(ch.get(), ChannelConfigError);
      await rejection(twin.depth(), ChannelConfigError);
      await rejection(ch.request("early"), ChannelConfigError);
      await rejection(carrier.put(inner), ChannelConfigError);
      await rejection(new Channel("x").depth(), ChannelConfigError);
    }
    rmSync(bad);
    await rejection(ch.put("early"), ChannelConfigError);

    writeFileSync(bad, "connection: memory:configured");
    await carrier.put(inner);
    assert.equal(await twin.depth(), 0);
    await ch.put("late");
    assert.equal(await new Channel("x").get(), "late");

    // A configuration that was used once is not read again.
    writeFileSync(good, "connection: memory:elsewhere");
    process.env.CHANNELTS_CONFIG = good;
    await ch.put("again");
    assert.equal(await new Channel("x").get(), "again");
    for (const each of [ch, carrier]) await each.delete();
  }));

Deno.test("a transport whose code could not be loaded is loaded again by the next use", async () => {
  const transport = new MemoryTransport("memory:loaded");
  let loads = 0;
  const connection = {};
  const load = () =>
    ++loads < 3
      ? Promise.reject(new TypeError("Failed to fetch dynamically imported module"))
      : Promise.resolve(transport);
  setShared(connection, new SharedConnection({ address: "loaded:", reach: "network" }, load));
  const ch = new Channel<string>({ name: "x", connection: connection as Connection });
  for (let tries = 1; tries < 3; tries++) {
    const error = await rejection(ch.put("early"), ChannelConnectionError, {
      address: "loaded:",
      transient: false,
    });
    assert.match(
      error.message,
      /the transport for loaded: cannot be loaded \(TypeError: Failed to fetch /,
    );
    assert.equal(loads, tries);
  }
  await ch.put("late");
  assert.equal(await ch.get(), "late");
  assert.equal(loads, 3);
  await ch.delete();
});
