// The schemes of a program that has imported the entry ./memory alone, as no module of the tests does that this file
// imports, and the transports that it registers itself.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  Channel,
  ChannelConfigError,
  Connection,
  registerTransport,
  type Scheme,
  type TransportOptions,
} from "../memory.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { linkOptions, putOn } from "./support/link.ts";

Deno.test("schemes: a transport that is not imported is an error that says what to import", () => {
  for (const uri of ["amqp://u:hunter2@h", "amqps://h", "sqlite:"]) {
    const entry = uri.startsWith("amqp") ? "amqp" : "sqlite";
    for (const make of [() => new Channel({ connection: uri }), () => new Connection(uri)]) {
      assert.throws(make, (error: unknown) => {
        assert.ok(error instanceof ChannelConfigError);
        const advice =
          `import from "@channelts/channel/${entry}" on Deno, Bun and Node; elsewhere, use memory: or ws:`;
        assert.ok(error.message.includes(advice), error.message);
        assert.ok(!error.message.includes("hunter2"));
        return true;
      });
    }
  }
  for (
    const [uri, advice] of [
      ["zmq://h:1", /import from "@channelts\/channel\/home" on Deno, Bun and Node; elsewhere, /],
      ["ws://:hunter2@h/", /of ws: is not imported; import from "@channelts\/channel\/web"$/],
      [
        "redis://:hunter2@h",
        /of redis: is not imported; import from "@channelts\/channel\/redis" on Deno/,
      ],
      [
        "rediss://h",
        /of rediss: is not imported; import from "@channelts\/channel\/redis" on Deno/,
      ],
      ["wss://h", /of wss: is not imported; import from "@channelts\/channel\/web"$/],
    ] as const
  ) {
    assert.throws(() => new Connection(uri), { name: "ChannelConfigError", message: advice });
  }
});

Deno.test("./memory: the option follow is an error that says what to import", () => {
  assert.throws(() => new Connection("memory:", { follow: () => true }), {
    name: "ChannelConfigError",
    message:
      'new Connection: the option "follow" is not in "@channelts/channel/memory"; import from "@channelts/channel"',
  });
});

/** Calls `use` with this environment. */
async function withVariables(
  variables: Readonly<Record<string, string>>,
  use: () => Promise<void>,
): Promise<void> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    await use();
  } finally {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

Deno.test("schemes: a configuration that needs another entry is an error", async () => {
  await withVariables({ CHANNELTS_URI: "amqp://localhost" }, async () => {
    const message =
      /^new Channel: CHANNELTS_URI: the transport of amqp: is not imported; import from /;
    await assert.rejects(async () => await new Channel().put(1), {
      name: "ChannelConfigError",
      message,
    });
  });
});

Deno.test("./memory: a file that is named is an error, and none is searched for", async () => {
  await withVariables({ CHANNELTS_CONFIG: "/x.yml" }, async () => {
    const message =
      /^new Channel: CHANNELTS_CONFIG: "@channelts\/channel\/memory" reads no files; import /;
    await assert.rejects(async () => await new Channel().put(1), {
      name: "ChannelConfigError",
      message,
    });
  });
  const home = mkdtempSync(join(tmpdir(), "channelts-schemes-"));
  try {
    writeFileSync(join(home, ".channelts.yml"), "connection: amqp://localhost:1");
    await withVariables({ HOME: home, USERPROFILE: home }, async () => {
      const ch = new Channel<number>();
      assert.equal(ch.toString(), `Channel(${ch.name} on memory:)`);
      await ch.delete();
    });
  } finally {
    rmSync(home, { recursive: true });
  }
});

Deno.test("./memory: the encoding JSON is an error that says what to import", async () => {
  const message =
    /the encoding "json" is not in "@channelts\/channel\/memory"; import from "@channelts\/channel"$/;
  assert.throws(() => new Channel({ encoding: "json" }), { name: "ChannelConfigError", message });

  const transport = new MemoryTransport("memory:json");
  const ch = new Channel({ name: "x", connection: transport });
  const link = await transport.open("x", linkOptions);
  for (const contentType of ["", "application/json; charset=utf-8"]) {
    await putOn(link, { body: Uint8Array.of(0x31), contentType });
    await assert.rejects(ch.get(), {
      name: "ChannelDecodeError",
      message: /, which is not in "@channelts\/channel\/memory"; import from /,
    });
  }
  await ch.delete();
  await link.close();
});

/** Transports of a program's own: memory, under another name. */
class Shelf extends MemoryTransport {
  static made: { uri: string; options: TransportOptions | undefined }[] = [];
  constructor(uri: string, options: TransportOptions | undefined) {
    super(uri.replace(/\?.*/, ""));
    Shelf.made.push({ uri, options });
  }
}

const shelf: Scheme = {
  reach: "machine",
  options: ["name"],
  parse(uri) {
    if (!/^shelf:[a-z]*(\?.*)?$/i.test(uri)) throw new ChannelConfigError("write shelf:NAME");
    return { address: uri.toLowerCase().replace(/\?.*/, "") };
  },
  load: (uri, options) => Promise.resolve(new Shelf(uri, options)),
};

Deno.test("schemes: a program registers a transport, and names it by URIs", async () => {
  assert.throws(() => new Channel({ connection: "shelf:a" }), ChannelConfigError);
  registerTransport("shelf:", shelf);

  const ch = new Channel<number | Channel<string>>({ name: "x", connection: "shelf:a" });
  const twin = new Channel<number>({ name: "x", connection: "SHELF:a" });
  await ch.put(1);
  assert.equal(await twin.get(), 1);
  assert.deepEqual(Shelf.made, [{ uri: "shelf:a", options: undefined }]);

  const connection = new Connection("shelf:b", { name: "me" });
  const other = new Channel<string>({ name: "y", connection });
  await other.put("z");
  assert.deepEqual(Shelf.made[1], { uri: "shelf:b", options: { name: "me" } });

  // A reference to a channel on another address of the scheme.
  await ch.put(other);
  const received = await ch.get();
  assert.equal(await (received as Channel<string>).get(), "z");

  const wrong = () => new Channel({ connection: "shelf://h" });
  assert.throws(wrong, { name: "ChannelConfigError", message: "new Channel: write shelf:NAME" });
  for (const each of [ch, other]) await each.delete();
});

Deno.test("schemes: an option that the scheme does not take is an error", () => {
  assert.throws(
    () => new Connection("shelf:a", { username: "u" }),
    { name: "ChannelConfigError", message: /the option "username" .* not for shelf:a$/ },
  );
});

Deno.test("schemes: a transport of a registered scheme that cannot be made is an error of the operation", async () => {
  const load = (): never => {
    throw new Error("no shelf here");
  };
  registerTransport("broken:", { ...shelf, parse: (uri) => ({ address: uri }), load });
  await assert.rejects(new Channel({ name: "x", connection: "broken:" }).put(1), {
    name: "ChannelConnectionError",
    message: /^put: the transport for broken: cannot be loaded \(Error: no shelf here\)$/,
  });
});

Deno.test("schemes: a scheme whose load returns no transport is an error of the operation", async () => {
  const load = (() => ({})) as unknown as Scheme["load"];
  registerTransport("empty:", { ...shelf, parse: (uri) => ({ address: uri }), load });
  await assert.rejects(new Channel({ name: "x", connection: "empty:" }).put(1), {
    name: "ChannelConfigError",
    message: /^put: the function load of the scheme empty: returned no transport; return /,
  });
});

Deno.test("schemes: registerTransport checks its arguments", () => {
  const register = registerTransport as (...args: unknown[]) => void;
  const refused = (message: RegExp, ...args: unknown[]) =>
    assert.throws(() => register(...args), { name: "ChannelConfigError", message });
  refused(/the name takes the name of a URI scheme .*, not "redis"$/, "redis", shelf);
  refused(/the name takes /, undefined, shelf);
  refused(/the name takes /, "Redis:", shelf);
  refused(/the options must be an object/, "redis:", 1);
  refused(/the scheme redis: has no reach; add it$/, "redis:");
  refused(/the scheme redis: has no load; add it$/, "redis:", { ...shelf, load: undefined });
  refused(/the option "reach" takes "isolate" or /, "redis:", { ...shelf, reach: "world" });
  refused(/the option "options" takes an array of username, /, "redis:", {
    ...shelf,
    options: ["x"],
  });
  refused(/there is no option "prase"; did you mean parse\?$/, "redis:", { ...shelf, prase: 1 });
  refused(/shelf: is registered already; use another scheme$/, "shelf:", shelf);
  for (
    const own of [
      "memory:",
      "sqlite:",
      "amqp:",
      "amqps:",
      "redis:",
      "rediss:",
      "zmq:",
      "ws:",
      "wss:",
    ]
  ) {
    refused(/belongs to this library; use another scheme$/, own, shelf);
  }
  registerTransport("nowhere:", { ...shelf, parse: (uri) => ({ address: uri.slice(8) }) });
  assert.throws(
    () => new Channel({ connection: "nowhere:x" }),
    {
      name: "ChannelConfigError",
      message: /the function parse of the scheme nowhere: returned no address; /,
    },
  );
});
