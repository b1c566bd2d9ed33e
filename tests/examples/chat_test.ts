// The chat room of examples/chat in a project that has the npm package: people in two tabs of Chromium, whose interface
// is used as people use it, and in a terminal. The server runs on each runtime, and is killed.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelConnectionError, Connection, type SendChannel } from "../../mod.ts";
import { connectionsRest, until } from "../conformance/fixture.ts";
import { freePorts } from "../support/broker.ts";
import { Chromium, findChromium, type Page } from "../support/chromium.ts";
import { linkPackages, noNpm } from "../support/npm.ts";
import { installedPackage } from "../support/package.ts";
import { findRuntime, type RuntimeName } from "../support/runtimes.ts";
import { test } from "../support/test.ts";
import { ROOT } from "../support/test_files.ts";
import { Program } from "./program.ts";

const chromium = noNpm ? new Error(noNpm) : await findChromium();
const skip = chromium instanceof Error && chromium.message;

/** A folder with the example and the package, as its page says. */
async function project(): Promise<string> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-chat-"));
  linkPackages((await installedPackage()).folder, folder);
  writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
  cpSync(join(ROOT, "examples/chat"), folder, { recursive: true });
  return folder;
}

/** A person in a tab. */
class Tab {
  readonly page: Page;
  readonly #name: string;

  private constructor(page: Page, name: string) {
    this.page = page;
    this.#name = name;
  }

  static async open(browser: Chromium, url: string, name: string): Promise<Tab> {
    const tab = new Tab(await browser.open(url), name);
    await tab.page.click("#name");
    await tab.page.type(name);
    return tab;
  }

  async say(text: string): Promise<void> {
    await this.page.click("#text");
    await this.page.type(`${text}\n`);
  }

  /** What a list shows: each line without its time. */
  async list(id: "lines" | "pending"): Promise<string[]> {
    return await this.page.evaluate(
      `Array.from(document.getElementById("${id}").children, (item) => {
      const copy = item.cloneNode(true);
      copy.querySelector("time")?.remove();
      return (item.className + ": " + copy.textContent.trim()).replace(/^: /, "");
    })`,
    ) as string[];
  }

  /** Waits until the lines are these, and nothing is being sent. */
  async shows(...lines: string[]): Promise<void> {
    const current = async () => [...await this.list("lines"), ...await this.list("pending")];
    await until(async () => String(await current()) === String(lines), 30_000, 50).catch(() => {});
    assert.deepEqual(await current(), lines, this.#name);
  }

  async hasState(pattern: RegExp): Promise<void> {
    const state = () => this.page.evaluate(`document.getElementById("status").value`);
    await until(async () => pattern.test(String(await state())), 30_000, 50).catch(() => {});
    assert.match(String(await state()), pattern, this.#name);
  }
}

test("chat: two tabs and a terminal share a room, and its server is killed", {
  skip,
}, async (t) => {
  const folder = await project();
  await using browser = await Chromium.start(chromium as string);
  try {
    for (const name of ["node", "bun", "deno"] satisfies RuntimeName[]) {
      const { title, command } = await findRuntime(name);
      const runtime = command.filter((word) => word !== "--frozen"); // there is no lock file
      await t.step(`on ${title}`, () => chat(browser, folder, runtime, name === "node"));
    }
  } finally {
    await connectionsRest();
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
});

/**
 * Uses the room with a new server.
 *
 * @param runtime the command that runs a program
 * @param isLong whether more is said than the server keeps
 */
async function chat(
  browser: Chromium,
  folder: string,
  runtime: readonly string[],
  isLong: boolean,
): Promise<void> {
  const [port] = await freePorts(1);
  const address = `ws://127.0.0.1:${port}/channels`;
  const start = async () => {
    const args = [...runtime, join(folder, "server.ts"), "--port", `${port}`];
    const server = new Program([...args, "--file", join(folder, `${port}.db`)], {}, folder);
    const [url] = await server.line(/^http:.*/);
    return { server, url };
  };
  const programs: Program[] = [];
  let uma: Program | undefined;
  try {
    const { server, url } = await start();
    programs.push(server);
    const startTerminal = (name: string) => {
      const args = [...runtime, join(folder, "terminal.ts"), name, address];
      programs.push(new Program(args, {}, folder, "pipe"));
      return programs.at(-1)!;
    };
    const terminal = startTerminal("Tina");
    const said = (line: string) => terminal.line(new RegExp(`(?:^| )${line}$`));

    // Everyone sees the lines of everyone, in one order, and texts are not HTML.
    const ada = await Tab.open(browser, url!, "Ada");
    await ada.hasState(/^connected$/);
    await ada.say("Hello, <b>world</b> & 世界");
    const lines = ["Ada Hello, <b>world</b> & 世界"];
    await ada.shows(...lines);
    const bob = await Tab.open(browser, url!, "Bob");
    await bob.shows(...lines); // those from before, too
    await terminal.line(/^\* connected$/);
    terminal.write("I am in a terminal");
    lines.push("Tina I am in a terminal");
    await ada.shows(...lines);
    await bob.say("And I am in a tab");
    lines.push("Bob And I am in a tab");
    await Promise.all([ada.shows(...lines), bob.shows(...lines)]);
    await said("Bob: And I am in a tab");

    // A channel that has arrived in a line is the way to one person.
    await ada.page.click("#lines li:nth-child(2) button");
    await ada.page.type("only for you\n");
    await said("Ada to Tina alone: only for you");
    terminal.write("@Ada thank you");
    const adas = [...lines, "private: Ada to Tina: only for you", "private: Tina thank you"];
    await ada.shows(...adas);
    await bob.shows(...lines);

    // The server is killed: what is said meanwhile arrives once, when it is back.
    server.kill("SIGKILL");
    await Promise.all([ada, bob].map((tab) => tab.hasState(/^The connection is lost/)));
    await terminal.line(/^\* disconnected$/);
    await bob.say("Is anyone here?");
    await bob.shows(...lines, "pending: Is anyone here? (sending)");
    const second = (await start()).server;
    programs.push(second);
    lines.push("Bob Is anyone here?");
    adas.push("Bob Is anyone here?");
    await Promise.all([ada.shows(...adas), bob.shows(...lines)]);
    await Promise.all([ada, bob].map((tab) => tab.hasState(/^connected$/)));
    await said("Bob: Is anyone here\\?");
    terminal.write("@Ada your inbox is still there");
    adas.push("private: Tina your inbox is still there");
    await ada.shows(...adas);

    if (isLong) { // whoever comes late sees the last 100 lines
      for (let n = 1; n <= 110; n++) {
        terminal.write(`line ${n}`);
        for (const shown of [lines, adas]) shown.push(`Tina line ${n}`);
      }
      await said("Tina: line 110");
      const cyd = await Tab.open(browser, url!, "Cyd");
      await cyd.shows(...lines.slice(-100));
      uma = startTerminal("Uma");
      await uma.line(/Tina: line 110$/);
      await Promise.all([ada.shows(...adas), bob.shows(...lines)]);
    }

    // Whoever leaves has no inbox any more.
    terminal.endInput();
    await terminal.done();
    await ada.page.click("#lines li:nth-child(2) button");
    await ada.page.type("come back\n");
    const failed = "failed: come back (not sent: Tina has left)";
    await ada.shows(...adas, failed);

    await bob.say("Only we are left");
    await assertProtected(address, "Bob");
    for (const line of ["Bob Only we are left", "Mallory after the rubbish"]) {
      for (const shown of [lines, adas]) shown.push(line);
    }
    await ada.shows(...adas, failed);
    let list: string[] = [];
    await until(async () => (list = await bob.list("lines")).length === lines.length + 1);
    assert.deepEqual(list.filter((line) => line.startsWith("private: ")), [
      "private: Mallory after the rubbish",
    ]);
    assert.deepEqual(list.filter((line) => !line.startsWith("private: ")), lines);
    assert.deepEqual([...ada.page.problems, ...bob.page.problems], []);
    second.kill("SIGTERM");
    await second.done();
    await bob.hasState(/^The connection is lost/);
    uma?.endInput(); // one may leave although the server is away
    await uma?.done();
  } finally {
    for (const program of programs) await program[Symbol.asyncDispose]();
  }
}

/** A peer may post, listen and ask for the lines, and nothing else; values that are no posts and no messages harm nobody. */
async function assertProtected(address: string, victim: string): Promise<void> {
  const connection = new Connection(address);
  const open = (name: string) => new Channel<unknown>({ name, connection });
  const refused: [name: string, attempt: (channel: Channel) => Promise<unknown>][] = [
    ["chat.archive", (channel) => channel.get({ timeout: 20_000 })],
    ["chat.posts", (channel) => channel.get({ timeout: 20_000 })],
    ["chat.lines", (channel) => channel.broadcast({ n: 1e6, text: "forged" })],
    ["chat.posts", (channel) => channel.closeAll()],
    ["chat.history", (channel) => channel.delete()],
    ["another", (channel) => channel.put(1)],
  ];
  for (const [name, attempt] of refused) {
    const channel = open(name);
    await assert.rejects(attempt(channel), ChannelConnectionError, name);
    await channel.close();
  }

  const [posts, history, mine] = [
    open("chat.posts"),
    open("chat.history"),
    open("chat.posts").clone(),
  ];
  let theirs: SendChannel | undefined;
  await until(async () => {
    const lines = await history.request(0) as { name: string; inbox: SendChannel }[];
    theirs = lines.find(({ name }) => name === victim)?.inbox;
    return theirs !== undefined;
  });
  const inbox = mine.sender;
  const long = "x".repeat(2001);
  for (
    const value of [null, "text", { name: "M", text: long, inbox }, {
      name: "M",
      text: "m",
      inbox: 1,
    }]
  ) {
    await posts.put(value);
    await theirs!.put(value);
    await assert.rejects(posts.request(value, { timeout: 20_000 }), TypeError);
  }
  const message = { name: "Mallory", text: "after the rubbish", inbox };
  await theirs!.put(message);
  await posts.request({ ...message, id: "1" }, { timeout: 20_000 });
  await mine.delete();
  await Promise.all([posts, history, theirs!].map((each) => each.close()));
}
