import assert from "node:assert/strict";
import process from "node:process";
import { Channel } from "../mod.ts";
import { pause } from "./conformance/fixture.ts";
import { testMemory } from "./support/memory_conformance.ts";

testMemory();

Deno.test("memory: channels use it if nothing is configured", async () => {
  const before = ["CHANNELTS_URI", "CHANNELTS_CONFIG", "HOME"]
    .map((name) => [name, process.env[name]] as const);
  for (const [name] of before) delete process.env[name];
  try {
    await using a = new Channel({ name: "unconfigured" });
    await using b = new Channel({ name: "unconfigured", connection: "memory:" });
    await using c = new Channel({ name: "unconfigured", connection: "memory:elsewhere" });
    await a.put("here");
    await assert.rejects(c.get({ timeout: 0 }), { name: "ChannelTimeoutError" });
    assert.equal(await b.get({ timeout: 0 }), "here");
    await a.delete();
    await c.delete();
    await pause(35); // the connections close a moment later
  } finally {
    for (const [name, value] of before) if (value !== undefined) process.env[name] = value;
  }
});
