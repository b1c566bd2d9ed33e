/** The other process of `sqlite.ts`: does one thing with a channel, and tells of it. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Channel } from "../mod.ts";
import { send } from "../tests/support/child_side.ts";

const [act, connection, name, argument] = process.argv.slice(2) as [string, string, string, string];
const channel = new Channel<number>({ name, connection });
await channel.depth();
send("ready");

const now = () => performance.timeOrigin + performance.now();

const acts: Record<string, () => Promise<unknown>> = {
  /** Gets as many values, by `width` loops; tells when. */
  async get() {
    const [count, width] = argument.split("x").map(Number) as [number, number];
    let got = 0;
    let late = 0;
    let last = performance.now();
    const watch = setInterval(() => {
      const time = performance.now();
      late = Math.max(late, time - last - 5);
      last = time;
    }, 5);
    await Promise.all(Array.from({ length: width }, async () => {
      while (got + width <= count || got < count) {
        got++;
        await channel.get();
      }
    }));
    const end = now();
    clearInterval(watch);
    return { end, late };
  },
  /** Gets the times at which they were put, and tells how long each took. */
  async wake() {
    const times: number[] = [];
    while (times.length < Number(argument)) {
      const put = await channel.get();
      times.push(now() - put);
    }
    return times;
  },
  /** Counts what it gets until all is closed. */
  async share() {
    let got = 0;
    for await (const _ of channel) got++;
    return got;
  },
  /** What waiting takes of a core. */
  async idle() {
    const waiting = Array.from(
      { length: Number(argument) },
      (_, i) => new Channel({ name: `${name} ${i}`, connection, expires: 1000 }),
    );
    const gets = waiting.map((each) => each.get().catch(() => {}));
    await sleep(1000);
    const before = process.cpuUsage();
    const start = performance.now();
    await sleep(4000);
    const { user, system } = process.cpuUsage(before);
    const share = (user + system) / 1000 / (performance.now() - start);
    await Promise.all(waiting.map((each) => each.close()));
    await Promise.all(gets);
    return share;
  },
};

send(await acts[act]!());
await channel.close();
