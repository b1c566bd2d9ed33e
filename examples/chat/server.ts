// deno-lint-ignore-file no-console
//
// The server of a chat room: an ordinary HTTP server that is also a home, which lends its channels to pages.
//
//   deno run -A server.ts [--port 8000] [--file chat.db]
//   bun server.ts …
//   node server.ts …                                 Node 22.18 or newer
//
// README.md says how to install the package. If the server is killed, pages and terminals connect again when it is back,
// and what they have sent meanwhile arrives then. The file has the lines, and the channels with what waits in them.

import { Channel, type Delivery, serve } from "@channelts/channel";
import { Home } from "@channelts/channel/home";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";
import { isMessage, type Line, type Post } from "./room.js";

/** The number of lines that a page is shown when it is opened. */
const KEPT = 100;

/** What each peer may do with named channels. An anonymous one, such as an inbox, is for those who were told its name. */
const RIGHTS = new Map([
  ["chat.posts", ["open", "put"]],
  ["chat.history", ["open", "put"]],
  ["chat.lines", ["open"]], // to listen: the server alone broadcasts
]);

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "8000" },
    file: { type: "string", default: "chat.db" },
  },
});

const home = new Home({
  connection: `sqlite:${values.file}`,
  authorize: ({ channel, action, anonymous }) =>
    anonymous || RIGHTS.get(channel)?.includes(action) === true,
});

/** A channel with one value: the lines. */
const archive = new Channel<Line[]>({ name: "chat.archive", connection: home });
let lines = await restore();

const listeners = new Channel<Line>({ name: "chat.lines", connection: home });
const posts = new Channel<Post>({ name: "chat.posts", connection: home });
const history = new Channel<number>({ name: "chat.history", connection: home });
// Whatever peers send, the serving goes on.
const serving = [
  serve(posts, publish),
  serve(history, (after) => lines.filter(({ n }) => n > after)),
];

const server = createServer((request, response) => {
  fileOf(request.url!).then(
    ([type, content]) => response.setHeader("content-type", type).end(content),
    () => response.writeHead(404).end(),
  );
});
server.on("upgrade", (request, socket, head) => {
  if (request.url === "/channels") home.upgrade(request, socket, head);
  else socket.destroy();
});
await once(server.listen(Number(values.port), "127.0.0.1"), "listening");
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop());

async function stop(): Promise<void> {
  await Promise.all([posts, history].map((each) => each.close()));
  await Promise.all(serving);
  await Promise.all([archive, listeners].map((each) => each.close()));
  server.close();
  await home.close(); // tells the pages
  server.closeAllConnections();
}

/** Makes a line of a post. A post that is served again after a crash makes no second line. */
async function publish(post: Post): Promise<void> {
  if (!isMessage(post) || typeof post.id !== "string") throw new TypeError("this is no post");
  const { id, name, text, inbox } = post;
  if (lines.some((line) => line.id === id)) return;
  const line = { n: (lines.at(-1)?.n ?? 0) + 1, id, time: new Date(), name, text, inbox };
  lines = [...lines, line].slice(-KEPT);
  await archive.put(lines);
  await archive.get(); // the lines as they were before
  await listeners.broadcast(line);
}

/** Reads the archive. If the server was killed between a `put` and a `get`, two values are there. */
async function restore(): Promise<Line[]> {
  const found: Delivery<Line[]>[] = [];
  while (await archive.depth() > 0) found.push(await archive.receive());
  const newest = found.at(-1)?.value ?? [];
  await archive.put(newest);
  for (const delivery of found) delivery.accept();
  return newest;
}

/** Returns the type and the content of a file of the page, or of a script of the package. */
async function fileOf(path: string): Promise<[type: string, content: Uint8Array]> {
  const here = new Map([
    ["/", "index.html"],
    ["/page.js", "page.js"],
    ["/room.js", "room.js"],
  ]).get(path);
  if (here !== undefined) {
    const type = here.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
    return [type, await readFile(new URL(here, import.meta.url))];
  }
  const scripts = new URL(".", import.meta.resolve("@channelts/channel/web"));
  const script = new URL(path.replace("/channelts/", "./"), scripts);
  const isScript = script.href.startsWith(scripts.href) && script.pathname.endsWith(".js");
  if (!path.startsWith("/channelts/") || !isScript) throw new Error(`${path} is not served`);
  return ["text/javascript", await readFile(script)];
}
