// Homes beside an HTTP server, by each of their handlers; origins, secrets and certificates on WebSockets; the liveness of
// their peers.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { Duplex } from "node:stream";
import { pathToFileURL } from "node:url";
import {
  Channel,
  ChannelConfigError,
  ChannelConnectionError,
  Connection,
  Home,
  type HomeOptions,
  listen,
} from "../home.ts";
import { parseWebSocketUri } from "../src/transports/home/pipes/websocket_uri.ts";
import { connectionsRest, rejection, until, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { noNpm, npmPackages } from "./support/npm.ts";
import { test } from "./support/test.ts";
import { TESTS } from "./support/test_files.ts";

const isBun = process.versions.bun !== undefined;
const isDeno = process.versions.deno !== undefined;

/** A server of HTTP that has a home at `/channels`, and a page elsewhere. */
interface Serving extends AsyncDisposable {
  readonly port: number;
}

type Fetch = (request: Request, server?: unknown) => Response | Promise<Response>;

/** The handler of a program that has other pages, too. */
function pagesWith(home: Home): Fetch {
  return (request, server) =>
    new URL(request.url).pathname === "/channels"
      ? home.fetch(request, server)
      : new Response("a page");
}

function byDeno(fetch: Fetch): Promise<Serving> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, fetch);
  const { port } = server.addr as Deno.NetAddr;
  return Promise.resolve({ port, [Symbol.asyncDispose]: () => server.shutdown() });
}

function byBun(fetch: Fetch, home: Home): Promise<Serving> {
  const { Bun } = globalThis as unknown as {
    Bun: { serve(options: unknown): { readonly port: number; stop(): Promise<void> } };
  };
  const options = { hostname: "127.0.0.1", port: 0, fetch, websocket: home.websocket };
  const server = Bun.serve(options);
  return Promise.resolve({ port: server.port, [Symbol.asyncDispose]: () => server.stop() });
}

async function byNode(home: Home): Promise<Serving> {
  const server = createServer((_, response) => response.end("a page"));
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Uint8Array) => {
    if (request.url === "/channels") home.upgrade(request, socket, head);
    else socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return nodeServing(server);
}

function nodeServing(server: Server): Serving {
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

async function byHono(home: Home): Promise<Serving> {
  const folder = join(await npmPackages("hono"), "node_modules");
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href);
  const { Hono } = await load("hono/dist/index.js");
  const app = new Hono();
  app.get("/", (c: { text(text: string): Response }) => c.text("a page"));
  app.get(
    "/channels",
    // Hono's `env` is the second argument of the server's handler.
    (c: { readonly req: { readonly raw: Request }; readonly env: unknown }) =>
      home.fetch(c.req.raw, c.env),
  );
  if (isDeno) return await byDeno(app.fetch);
  if (isBun) return await byBun(app.fetch, home);
  const { serve } = await load("@hono/node-server/dist/index.mjs");
  const server: Server = await new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, () => {
      resolve(server);
    });
  });
  server.on("upgrade", (request, socket, head) => home.upgrade(request, socket, head));
  return nodeServing(server);
}

const handlers: Readonly<
  Record<string, readonly [skip: string | false, (home: Home) => Promise<Serving>]>
> = {
  "Deno.serve": [!isDeno && "needs Deno", (home) => byDeno(pagesWith(home))],
  "Bun.serve": [!isBun && "needs Bun", (home) => byBun(pagesWith(home), home)],
  "node:http": [false, byNode],
  Hono: [noNpm, byHono],
};

for (const [name, [skip, serve]] of Object.entries(handlers)) {
  test(`home handlers: a home beside the pages of ${name}`, { skip }, async () => {
    const peers: string[] = [];
    await using home = new Home({
      authorize: ({ peer, channel }) => {
        peers.push(`${peer.transport} ${peer.address.replace("::ffff:", "")}`);
        return channel !== "secret";
      },
    });
    await using server = await serve(home);
    const page = await fetch(`http://127.0.0.1:${server.port}/`);
    assert.equal(await page.text(), "a page");

    const connection = `ws://127.0.0.1:${server.port}/channels`;
    const far = new Channel<unknown>({ name: "jobs", connection });
    const own = new Channel<unknown>({ name: "jobs", connection: home });
    await far.put({ job: 7 });
    assert.deepEqual(await within(own.get()), { job: 7 });
    const got = far.get();
    await own.put(new Uint8Array(300_000).fill(3));
    assert.equal((await within(got) as Uint8Array)[299_999], 3);
    assert.deepEqual([...new Set(peers)], ["ws 127.0.0.1"]);

    const secret = new Channel({ name: "secret", connection });
    const error = await rejection(secret.put(1), ChannelConnectionError);
    assert.equal(error.reason, "permission");
    await secret.close();
    await far.delete();
    await own.close();

    // The home closes the connections that its handler has accepted.
    const later = new Channel({ name: "jobs", connection, retryTimeout: 0 });
    const waiting = rejection(later.get(), ChannelConnectionError);
    await until(async () => await new Channel({ name: "jobs", connection: home }).depth() === 0);
    await home.close();
    await waiting;
    await later.close();
    await connectionsRest();
  });
}

/** Asks a home for a WebSocket, as a page of an origin does. Returns the first line of the answer. */
function ask(port: number, path: string, headers: Record<string, string> = {}): Promise<string> {
  return within(
    new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      let text = "";
      socket.on("data", (data) => {
        text += data;
        if (!text.includes("\r\n")) return;
        socket.destroy();
        resolve(text.split("\r\n")[0]!);
      });
      socket.on("error", reject);
      const all = {
        Host: `127.0.0.1:${port}`,
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "channelts.1",
        ...headers,
      };
      const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    }),
  );
}

async function listening(options: HomeOptions = {}): Promise<[home: Home, port: number]> {
  const home = await listen("ws://127.0.0.1:0/channels", options);
  return [home, Number(new URL(home.address).port)];
}

test("home handlers: a page of another origin is refused, unless it is allowed", {}, async () => {
  const warnings: string[] = [];
  const logger = { warn: (text: string) => warnings.push(text) };
  const origins = ["https://example.org"];
  const [home, port] = await listening({ origins, logger });
  try {
    const answer = (origin: string) => ask(port, "/channels", { Origin: origin });
    assert.match(await answer("https://evil.example"), / 403 /);
    assert.match(warnings[0]!, /pages of the origin https:\/\/evil\.example are not allowed; add/);
    assert.match(await answer(`http://rebound.example:${port}`), / 403 /);
    assert.match(
      await ask(port, "/channels", {
        Origin: `http://rebound.example:${port}`,
        Host: `rebound.example:${port}`,
      }),
      / 403 /,
    );
    assert.match(await answer("https://example.org"), / 101 /);
    assert.match(await answer(`http://127.0.0.1:${port}`), / 101 /);
    assert.match(await ask(port, "/channels"), / 101 /); // no browser
  } finally {
    await home.close();
    await connectionsRest();
  }
});

test("home handlers: what is no WebSocket of a home is answered", {}, async () => {
  const [home, port] = await listening();
  try {
    assert.match(await ask(port, "/elsewhere"), / 404 /);
    assert.match(await ask(port, "/channels", { "Sec-WebSocket-Protocol": "chat" }), / 400 /);
    const page = await fetch(`http://127.0.0.1:${port}/channels`);
    assert.equal(page.status, 426);
    assert.equal(await page.text(), "this address is for WebSockets");
    const wrongPath = new Channel({ name: "x", connection: `ws://127.0.0.1:${port}/wrong` });
    const error = await rejection(wrongPath.put(1), ChannelConnectionError);
    assert.equal(error.transient, false, String(error));
    assert.match(error.message, /the server answered 404; check the path of the URI$/);
    await wrongPath.close();
  } finally {
    await home.close();
    await connectionsRest();
  }
});

test("home handlers: a peer with the wrong scheme says what to check", {}, async () => {
  await using home = await listen(["zmq://127.0.0.1:0", "ws://127.0.0.1:0"]);
  const [zmq, ws] = home.addresses.map((address) => new URL(address).port);
  const messageOf = async (connection: string) => {
    const ch = new Channel({ name: "x", connection, retryTimeout: 0 });
    const { message } = await rejection(ch.put(1), ChannelConnectionError);
    await ch.close();
    return message;
  };
  const advice = "check the host, the port and the scheme";
  assert.match(
    await messageOf(`zmq://127.0.0.1:${ws}`),
    new RegExp(`: the other end does not speak ZMTP; ${advice}$`),
  );
  assert.match(
    await messageOf(`ws://127.0.0.1:${zmq}`),
    new RegExp(`: 127.0.0.1:${zmq} does not answer as a home; ${advice} \\(`),
  );
});

test("home handlers: a secret is asked for, and is in no address, error or log", {}, async () => {
  const logged: string[] = [];
  const log = (text: string) => void logged.push(text);
  const logger = { error: log, warn: log, info: log, debug: log };
  const [home] = await listening({ secret: "hunter2", logger });
  try {
    const uriOf = (secret: string) => home.address.replace("//", `//:${secret}@`);
    assert.ok(!home.address.includes("hunter2"));
    const ch = new Channel({ name: "x", connection: uriOf("hunter2") });
    await ch.put(1);
    const byOption = new Connection(home.address, { password: "hunter2", name: "me", logger });
    const same = new Channel({ name: "x", connection: byOption });
    assert.equal(await same.get(), 1);
    assert.equal(byOption.address, home.address);
    for (const connection of [home.address, uriOf("hunter3")]) {
      const stranger = new Channel({ name: "x", connection });
      const error = await rejection(stranger.get(), ChannelConnectionError);
      assert.equal(error.transient, false, String(error));
      assert.equal(error.reason, "login");
      assert.doesNotMatch(`${error.stack} ${error.cause}`, /hunter/);
      await stranger.close();
    }
    await ch.delete();
    await same.close();
  } finally {
    await home.close();
  }
  assert.ok(logged.length > 0);
  assert.deepEqual(logged.filter((text) => text.includes("hunter")), []);
});

test("home handlers: wss: checks certificates and names as the options say", {}, async () => {
  const file = (name: string) => readFileSync(join(TESTS, "support", "tls", name), "utf8");
  const options = { cert: file("server.pem"), key: file("server.key") };
  await using home = await listen("wss://localhost:0/channels", options);
  const channel = (ca?: string) =>
    new Channel({
      name: "x",
      connection: new Connection(home.address, ca === undefined ? {} : { ca }),
      retryTimeout: 0,
    });
  const good = channel(file("ca.pem"));
  await good.put("over TLS");
  assert.equal(await good.get(), "over TLS");
  for (const ca of [undefined, file("other-ca.pem")]) {
    const bad = channel(ca);
    const error = await rejection(bad.put(1), ChannelConnectionError);
    assert.equal(error.transient, false, String(error));
    assert.match(
      error.message,
      /the certificate of localhost:\d+ is not trusted; see the options "ca" and "servername"/,
    );
    await bad.close();
  }
  await good.delete();
  await connectionsRest();
  await assert.rejects(listen("wss://localhost:0"), {
    name: "ChannelConfigError",
    message: /^listen: .* wss: needs a certificate; set the options "cert" and "key"$/,
  });
});

test("home handlers: an address in use is an error that names it", {}, async () => {
  await using home = await listen("ws://127.0.0.1:0");
  const error = await rejection(listen(home.address), ChannelConnectionError);
  assert.ok(error.message.startsWith(`listen: cannot listen on ${home.address}: `), error.message);
});

test(
  "home handlers: an idle peer lets its process exit, and a pending get does not",
  {},
  async () => {
    const [home] = await listening();
    try {
      const program = new URL("programs/idle_peer.ts", import.meta.url);
      await using idle = startChild(program, { args: [home.address, "idle"] });
      assert.equal(await within(idle.next()), "put");
      assert.deepEqual(await within(idle.exited), { code: 0, signal: null });
      await using waiting = startChild(program, { args: [home.address, "get"] });
      assert.equal(await within(waiting.next()), "put");
      const own = new Channel<string>({ name: "answers", connection: home });
      await until(async () => await own.depth() === 0);
      await own.put("for the process that waits");
      assert.equal(await within(waiting.next()), "for the process that waits");
      assert.deepEqual(await within(waiting.exited), { code: 0, signal: null });
      await own.delete();
      await new Channel({ name: "jobs", connection: home }).delete();
    } finally {
      await home.close();
    }
  },
);

/** A relay that can hold all bytes back, as a network that is cut: TCP sends them again when it is mended. */
async function relayTo(port: number) {
  const { createServer } = await import("node:net");
  let isCut = false;
  const sockets = new Set<Duplex>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    sockets.add(near).add(far);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on("data", (data) => to.write(data));
      from.on("close", () => to.destroy());
      from.on("error", () => {});
      if (isCut) from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.pause();
    },
    mend() {
      isCut = false;
      for (const socket of sockets) socket.resume();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("home handlers: both ends find that a connection is cut which says nothing", {}, async () => {
  const warnings: string[] = [];
  const [home, port] = await listening({
    heartbeat: 200,
    logger: { warn: (text) => warnings.push(text) },
  });
  try {
    await using relay = await relayTo(port);
    const lost: string[] = [];
    const connection = new Connection(`ws://127.0.0.1:${relay.port}/channels?heartbeat=0.2`, {
      ondisconnect: ({ message }) => lost.push(message),
    });
    const far = new Channel<number>({ name: "jobs", connection });
    const own = new Channel<number>({ name: "jobs", connection: home });
    await own.put(1);
    const held = await far.receive();
    relay.cut();
    await until(() => lost.length > 0);
    assert.match(lost[0]!, /the other end has not answered for 0\.2 s/);
    // The loan of the lost peer returns, counted.
    const again = await within(own.receive());
    assert.equal(again.attempts, 2);
    again.accept();
    held.accept();
    relay.mend();
    await far.put(2); // the connection is opened again
    assert.equal(await within(own.get()), 2);
    await own.delete();
    await far.close();
  } finally {
    await home.close();
    await connectionsRest();
  }
});

test("home handlers: a connection that sends no request is closed", {
  skip: isDeno && "Deno.serve has no timeout for requests",
}, async () => {
  const [home, port] = await listening();
  try {
    const sockets = Array.from({ length: 20 }, () => connect(port, "127.0.0.1"));
    const closed = sockets.map((socket) =>
      new Promise<void>((resolve) => socket.on("error", () => {}).once("close", () => resolve()))
    );
    for (const socket of sockets) socket.resume();
    sockets[0]!.write("GET /channels HTTP/1.1\r\n"); // and no more
    await within(Promise.all(closed));
  } finally {
    await home.close();
    await connectionsRest();
  }
});

test("home handlers: the URIs of WebSockets", {}, () => {
  const cases: Record<string, Partial<ReturnType<typeof parseWebSocketUri>>> = {
    "ws://LOCALHOST": { address: "ws://localhost/" },
    "WS://h:80/a": { address: "ws://h/a" },
    "wss://h:443/a?room=1": { address: "wss://h/a?room=1" },
    "ws://:s%40x@h:8080/a": { address: "ws://h:8080/a", secret: "s@x" },
    "ws://h/a?heartbeat=2.5": { address: "ws://h/a", heartbeat: 2500 },
    "ws://h/a?b=c&heartbeat=0": { address: "ws://h/a?b=c", heartbeat: 0 },
    "ws://[::1]:81/": { address: "ws://[::1]:81/" },
  };
  for (const [uri, expected] of Object.entries(cases)) {
    const parsed = parseWebSocketUri(uri);
    assert.deepEqual(parsed, expected);
    assert.equal(parseWebSocketUri(parsed.address).address, parsed.address);
  }
  for (
    const [uri, problem] of [
      ["ws:", /expected ws:\/\/HOST:PORT\/PATH/],
      ["ws:///x", /expected ws:/],
      ["ws://h:99999", /expected ws:/],
      ["ws://h:0", /found the port 0/],
      ["ws://h/#a", /found a fragment/],
      ["ws://user:hunter2@h", /found a user name/],
      ["ws://hunter2@h", /found a user name/],
      ["ws://:%@h", /./],
      ["ws://h?token=hunter2", /found a credential in the query/],
      ["ws://h?api_secret=hunter2", /found a credential in the query/],
      ["ws://h?heartbeat=x", /found a bad heartbeat/],
    ] as const
  ) {
    assert.throws(() => parseWebSocketUri(uri), (error: unknown) => {
      assert.ok(error instanceof ChannelConfigError, uri);
      assert.match(error.message, problem);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  }
});
