/** The other process of `sqlite.ts`: runs one operation on a channel and reports the result. */
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
  /** Gets a number of values in `width` loops and reports the time. */
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
  /** Gets the times at which values were put, and reports the latency of each. */
  async wake() {
    const times: number[] = [];
    while (times.length < Number(argument)) {
      const put = await channel.get();
      times.push(now() - put);
    }
    return times;
  },
  /** Counts the values that it gets until the channel is closed. */
  async share() {
    let got = 0;
    for await (const _ of channel) got++;
    return got;
  },
  /** Reports the CPU share of waiting. */
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
