// deno-lint-ignore-file no-console
//
// A person in the chat room, in a terminal:
//
//   deno run -A terminal.ts NAME [ws://127.0.0.1:8000/channels]
//   bun terminal.ts …
//   node terminal.ts …                               Node 22.18 or newer
//
// Each line of the input is sent to everyone, and a line such as `@Ann hello` to Ann alone. The program ends with its
// input. If the server is killed, the program connects again when it is back, and what was typed meanwhile is sent then.

import { ChannelClosedError } from "@channelts/channel/web";
import process from "node:process";
import { createInterface } from "node:readline";
import { type Line, type Message, Room } from "./room.js";

const [name = "Anonymous", url = "ws://127.0.0.1:8000/channels"] = process.argv.slice(2);

/** The inboxes of the others, by name: where the last message of that name came from. */
const inboxes = new Map<string, Message["inbox"]>();

const room = new Room(url, {
  line(line: Line) {
    inboxes.set(line.name, line.inbox);
    console.log(`${line.time.toLocaleTimeString()} ${line.name}: ${line.text}`);
  },
  message(message: Message) {
    inboxes.set(message.name, message.inbox);
    console.log(`${message.name} to ${name} alone: ${message.text}`);
  },
  state: (state: string) => console.log(`* ${state}`),
});

const joined = room.join();
const sent = new Set<Promise<void>>();
for await (const input of createInterface({ input: process.stdin })) {
  const sending = send(input).finally(() => sent.delete(sending));
  sent.add(sending);
}
await Promise.all(sent);
await room.leave();
await joined;

async function send(input: string): Promise<void> {
  const [, to, text] = /^@(\S+) (.+)$/.exec(input) ?? [];
  const inbox = inboxes.get(to!);
  if (inbox === undefined) return await room.post(name, input);
  try {
    await room.send(inbox, name, text!);
  } catch (error) {
    if (!(error instanceof ChannelClosedError)) throw error;
    console.log(`* ${to} has left`);
  }
}
