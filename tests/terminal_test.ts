// What a person sees of the program in a terminal: the live table, questions, and a terminal that is as it was.
import assert from "node:assert/strict";
import { join } from "node:path";
import { Channel, listen } from "../home.ts";
import { until, within } from "./conformance/fixture.ts";
import { commandOf } from "./support/command_line.ts";
import { findRuntime } from "./support/runtimes.ts";
import { atRest, sqliteDirectory } from "./support/sqlite_file.ts";
import { noTerminal, Terminal } from "./support/terminal.ts";
import { test } from "./support/test.ts";

const path = join(sqliteDirectory(), "terminal.db");
const connection = `sqlite:${path}`;

async function withChannel(use: (channel: Channel<number>) => Promise<void>): Promise<void> {
  const channel = new Channel<number>({ name: crypto.randomUUID(), connection, maxAttempts: 1 });
  await channel.depth();
  try {
    await use(channel);
  } finally {
    await new Channel({ name: channel.name, connection }).delete();
    await channel.deadLetters.delete();
    await atRest(path);
  }
}

for (const name of ["deno", "bun", "node"] as const) {
  test(`terminal: the live table on ${name}`, { skip: noTerminal }, async () => {
    const runtime = await findRuntime(name);
    await withChannel(async (channel) => {
      const stats = ["stats", channel.name, "missing", "--watch", "--interval", "100"];
      await using terminal = await Terminal.start(commandOf(stats, runtime), {
        env: { CHANNELTS_URI: connection },
        columns: 100,
        rows: 6,
      });
      const row = () => terminal.lines.find((line) => line.endsWith(channel.name)) ?? "";
      const figure = (title: string) => {
        const titles = terminal.lines.find((line) => line.includes("CHANNEL")) ?? "";
        return row().trim().split(/ +/)[titles.trim().split(/ +/).indexOf(title)];
      };
      await until(() => figure("DEPTH") === "0");
      assert.ok(terminal.isAlternate);
      assert.match(terminal.lines[0]!, /^sqlite:.*every 0\.1 s/);
      assert.match(terminal.text, /missing {2}does not exist$/m);

      // It follows the channel.
      for (const n of [1, 2, 3]) await channel.put(n);
      await until(() => figure("DEPTH") === "3" && figure("CHANGE/S") === "0.0");
      (await channel.receive()).release();
      await until(() => figure("DEAD") === "1");
      const y = terminal.lines.findIndex((line) => line.endsWith(channel.name));
      const titles = terminal.lines[y - 1]!;
      assert.equal(terminal.color(y, titles.indexOf("DEAD") + 3), 1, "dead letters are red");

      // It stays in the terminal when that becomes smaller.
      await terminal.resize({ columns: 30, rows: 3 });
      await until(() => /^… 2 more channels$/.test(terminal.lines.at(-1)!));
      assert.equal(terminal.lines.length, 3);
      await terminal.resize({ columns: 100, rows: 6 });
      await until(() => figure("DEPTH") === "2");

      // Ctrl-C gives the terminal back, with the last figures.
      terminal.type("\x03");
      assert.equal(await within(terminal.exited), 130);
      await until(() => terminal.isOrdinary); // its last output is drawn later
      assert.match(row(), /^ *2 /);
    });
  });
}

test("terminal: no colour with NO_COLOR, and no control sequence with TERM=dumb", {
  skip: noTerminal,
}, async () => {
  const runtime = await findRuntime("bun"); // Deno itself writes control sequences
  await withChannel(async (channel) => {
    await channel.put(1);
    for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      await using terminal = await Terminal.start(
        commandOf(["stats", channel.name, "--watch", "--interval", "50"], runtime),
        { env: { CHANNELTS_URI: connection, ...env }, columns: 120 },
      );
      await until(() => terminal.text.includes(channel.name));
      const sequence = "TERM" in env ? /\p{Cc}\[/u : /\p{Cc}\[\d*m/u;
      assert.doesNotMatch(terminal.output, sequence);
      terminal.type("\x03");
      assert.equal(await within(terminal.exited), 130);
      await until(() => terminal.isOrdinary); // its last output is drawn later
    }
  });
});

test("terminal: delete asks, and does nothing without a yes", { skip: noTerminal }, async () => {
  await withChannel(async (channel) => {
    await channel.put(1);
    const asked = async (keys: string) => {
      await using terminal = await Terminal.start(commandOf(["delete", channel.name]), {
        env: { CHANNELTS_URI: connection },
      });
      await until(() => /and its value\? \[y\/N\]/.test(terminal.text));
      terminal.type(keys);
      return await within(terminal.exited);
    };
    for (const [keys, code] of [["\r", 1], ["n\r", 1], ["\x03", 130], ["\x04", 1]] as const) {
      assert.equal(await asked(keys), code, JSON.stringify(keys));
      assert.equal(await channel.depth(), 1);
    }
    assert.equal(await asked("y\r"), 0);
    await until(() => channel.closed);
  });
});

test(
  "terminal: a lost connection is told in the live table, and afterwards",
  { skip: noTerminal },
  async () => {
    const home = await listen("ws://127.0.0.1:0");
    const jobs = new Channel({ name: "jobs", connection: home });
    await jobs.depth();
    await using terminal = await Terminal.start(
      commandOf(["stats", "jobs", "--watch", "--interval", "50", "--timeout", "300"]),
      { env: { CHANNELTS_URI: home.address }, columns: 120 },
    );
    await until(() => /0 +jobs$/.test(terminal.text));
    await jobs.close();
    await home.close();
    await until(() => /jobs {2}could not be reached/.test(terminal.text));
    assert.equal(terminal.lines.length, 3, "nothing is written over the table");
    terminal.type("\x03");
    assert.equal(await within(terminal.exited), 130);
    assert.match(terminal.text, /warning: the connection to ws:.* was lost/);
  },
);
