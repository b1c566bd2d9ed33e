// deno-lint-ignore-file no-console
//
// A group of processes on several hosts, without a broker. Each is a home of its own: it lends the others its channel
// `inbox`. They hand each other these channels, and talk directly.
//
//   deno run -A examples/peers.ts NAME ADDRESS [MEMBER]
//   bun peers.ts NAME ADDRESS [MEMBER]
//   node peers.ts NAME ADDRESS [MEMBER]               Node 22.18 or newer
//
// NAME is yours, ADDRESS is where you listen, such as zmq://10.0.0.7:5555, and MEMBER is the address of anyone who is in
// the group already; the first process needs none. The variable GROUP_SECRET has the secret of the group: its keys are
// made from it, and connections are encrypted with them. Each line that you write goes to all members.
//
// A message cannot make a process connect to a host that it does not know. Here the members that a newcomer hears of are
// such hosts, so the function `follow` decides.
//
// A process may be killed at any time, also the first one: the others have each other's channels, and know no leader. A
// line that is sent to a member that was killed fails after five seconds, and the member is forgotten.

import {
  Channel,
  Connection,
  type ConnectionOptions,
  type Follow,
  listen,
} from "@channelts/channel/home";
import process from "node:process";
import { createInterface } from "node:readline";

type Inbox = Channel<Letter>;

type Letter =
  | { readonly kind: "join" | "member" | "hello"; readonly name: string; readonly inbox: Inbox }
  | { readonly kind: "line"; readonly name: string; readonly text: string };

const [name, address, member] = process.argv.slice(2);
const secret = process.env.GROUP_SECRET;
if (name === undefined || address === undefined || !secret) {
  throw new Error("usage: GROUP_SECRET=… peers.ts NAME ADDRESS [MEMBER]");
}

/**
 * Allows addresses without a key: the keys of a connection are made from the secret then, so it succeeds only if the
 * other end knows the secret too, and tells nothing of it otherwise.
 */
const follow: Follow = (found) => {
  const { protocol, search } = new URL(found);
  return protocol === "zmq:" && search === "" && options;
};
const options: ConnectionOptions = { password: secret, retryTimeout: 5_000, follow };

await using home = await listen(address, { secret, follow });
const inbox: Inbox = new Channel({ name: "inbox", connection: home });
const members = new Map<string, Inbox>();

/** Sends a letter, or forgets the member. */
async function send(to: string, letter: Letter): Promise<void> {
  try {
    await members.get(to)?.put(letter);
  } catch (error) {
    console.log(`${to} has left: ${(error as Error).name}`);
    await members.get(to)?.close();
    members.delete(to);
  }
}

async function read(letter: Letter): Promise<void> {
  if (letter.kind === "line") return console.log(`${letter.name}: ${letter.text}`);
  const known = [...members];
  members.set(letter.name, letter.inbox);
  if (letter.kind === "hello") return console.log(`${letter.name} says hello`);
  if (letter.kind === "member") return send(letter.name, { kind: "hello", name: name!, inbox });
  // A newcomer is told of all members. Their channels travel on, and lead to their homes from wherever they arrive.
  await send(letter.name, { kind: "member", name: name!, inbox });
  for (const [other, inbox] of known) {
    await send(letter.name, { kind: "member", name: other, inbox });
  }
}

if (member !== undefined) {
  const connection = new Connection(member, options);
  const first: Inbox = new Channel({ name: "inbox", connection });
  await first.put({ kind: "join", name, inbox });
  await first.close();
}
createInterface({ input: process.stdin }).on("line", (text) => {
  for (const to of members.keys()) void send(to, { kind: "line", name, text });
});
console.log(`${name} listens on ${home.address}`);
for await (const letter of inbox) await read(letter);
