/**
 * Loops over memory channels that never wait, one after the other, beside a timer, a signal, a socket and an
 * AbortSignal.timeout. For each loop, it reports which of these fired while it ran, within `TIME_LIMIT` ms.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import { Channel, select, serve, trySelect } from "../../mod.ts";
import { messages, send } from "../support/child_side.ts";

const TIME_LIMIT = 10_000;

/** Reports whether the loop continues. */
type GoesOn = () => boolean;

const channel = <T>(capacity?: number) =>
  new Channel<T>({ connection: "memory:", ...capacity === undefined ? {} : { capacity } });

const loops: Record<string, (goesOn: GoesOn) => Promise<unknown>> = {
  async "put and get"(goesOn) {
    const ch = channel<number>();
    while (goesOn()) {
      await ch.put(1);
      await ch.get();
    }
  },
  async "two tasks that answer each other"(goesOn) {
    const [there, back] = [channel<number>(), channel<number>()];
    const answering = (async () => {
      for await (const n of there) await back.put(n);
    })();
    while (goesOn()) {
      await there.put(1);
      await back.get();
    }
    await there.closeAll();
    await answering;
  },
  async "depth of a channel whose worker waits for a timer"(goesOn) {
    const ch = channel<number>();
    await ch.put(1);
    setTimeout(() => ch.get(), 1);
    while (await ch.depth() > 0 && goesOn());
    while (goesOn()) await ch.depth();
  },
  async "tryGet from an empty channel"(goesOn) {
    const ch = channel<number>();
    while (goesOn()) await ch.tryGet();
  },
  async "tryPut into a full channel"(goesOn) {
    const ch = channel<number>(1);
    while (goesOn()) await ch.tryPut(1);
  },
  async "trySelect on empty channels"(goesOn) {
    const [a, b] = [channel<number>(), channel<number>()];
    while (goesOn()) await trySelect({ a, b });
  },
  async "select of an existing value"(goesOn) {
    const [a, b] = [channel<number>(), channel<number>()];
    while (goesOn()) {
      await a.put(1);
      await select({ a, b });
    }
  },
  async "for await, beside a producer"(goesOn) {
    const ch = channel<number>(2);
    const producing = (async () => {
      while (goesOn()) await ch.put(1);
      await ch.closeAll({ drain: true });
    })();
    for await (const _ of ch);
    await producing;
  },
  async "request and serve"(goesOn) {
    const ch = channel<number>();
    const serving = serve(ch, (n) => n);
    while (goesOn()) await ch.request(1);
    await ch.closeAll();
    await serving;
  },
  async "receive and release"(goesOn) {
    const ch = channel<number>();
    await ch.put(1);
    while (goesOn()) (await ch.receive()).release();
  },
  async "broadcast and receive"(goesOn) {
    const ch = channel<number>();
    const listener = ch.broadcasts();
    while (goesOn()) {
      await ch.broadcast(1);
      await listener.next();
    }
    await listener.return!();
  },
  async "streams"(goesOn) {
    const ch = channel<number>();
    const [reader, writer] = [ch.readable().getReader(), ch.writable().getWriter()];
    while (goesOn()) {
      await writer.write(1);
      await reader.read();
    }
    await reader.cancel();
    await writer.close();
  },
  async "short-lived anonymous channels"(goesOn) {
    while (goesOn()) {
      await using ch = channel<number>();
      await ch.put(1);
    }
  },
  async "work of two milliseconds per value"(goesOn) {
    const ch = channel<number>();
    while (goesOn()) {
      await ch.put(1);
      await ch.get();
      for (const end = performance.now() + 2; performance.now() < end;);
    }
  },
};

const server = createServer((socket) => socket.pipe(socket));
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as { port: number };

for await (const name of messages()) {
  const missing = new Set(["timer", "signal", "socket", "AbortSignal.timeout"]);
  const fired = (what: string) => () => void missing.delete(what);
  const socket: Socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.on("data", fired("socket"));
  process.on("SIGINT", fired("signal"));
  AbortSignal.timeout(10).onabort = fired("AbortSignal.timeout");
  setTimeout(fired("timer"), 10);
  socket.write("x");
  process.kill(process.pid, "SIGINT");
  const end = performance.now() + TIME_LIMIT;
  await loops[name as string]!(() => missing.size > 0 && performance.now() < end);
  socket.destroy();
  send({ missing: [...missing], took: TIME_LIMIT - (end - performance.now()) });
  process.removeAllListeners("SIGINT");
}
server.close();
