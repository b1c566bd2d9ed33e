// Uses channels with the timers of node:test, which control setTimeout but not the clock, and reports the outcomes.
import { mock } from "node:test";
import { after, Channel, every, select } from "../../mod.ts";
import { send } from "../support/child_side.ts";

mock.timers.enable({ apis: ["setTimeout", "setInterval", "setImmediate"] });
const ch = new Channel<number>({ connection: "memory:" });
const reported: string[] = [];

/** Records the outcome of an operation and its time, in milliseconds that the test has advanced. */
function follow(name: string, operation: Promise<unknown>): void {
  operation.then(
    (value) => reported.push(`${name}: ${value instanceof Object ? "done" : value} at ${moved}`),
    (error) => reported.push(`${name}: ${error.name} at ${moved}`),
  );
}

let moved = 0;

async function move(ms: number): Promise<void> {
  await turn();
  mock.timers.tick(ms);
  moved += ms;
  await turn();
}

/** Lets all pending promise reactions run. */
async function turn(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

async function steps(name: string, operation: Promise<unknown>, ...ms: number[]): Promise<void> {
  moved = 0;
  follow(name, operation);
  for (const step of ms) await move(step);
}

const month = 30 * 24 * 3_600_000;
const longestTimer = 2 ** 31 - 1; // a longer timer is set again, and the mock fires each only once in a tick
// The clock runs as well, so each tested time is far longer than the program takes.
await steps("get", ch.get({ timeout: 500_000 }), 400_000, 100_000);
await steps("short get", ch.get({ timeout: 1 }), 1);
await steps("long get", ch.get({ timeout: month }), longestTimer, month - longestTimer - 1, 1);
await steps("after", select({ ch, late: after(500_000) }), 400_000, 100_000);
await using ticks = every(500_000);
for (const n of [1, 2, 3]) await steps(`tick ${n}`, select([ticks]), 400_000, 100_000);
await ch.put(7, { delay: 500_000 });
await steps("delayed", ch.get(), 400_000, 100_000);
await ch.put(8, { expires: 500_000 });
await move(500_000);
await steps("expired", ch.depth());
await ch.put(9);
(await ch.receive()).release({ delay: 500_000 });
await steps("released", ch.get(), 400_000, 100_000);
await turn();
mock.timers.reset();
await steps("afterwards", ch.get({ timeout: 5 }).finally(() => moved = 5));
await ch.get({ timeout: 20 }).catch(() => {});
send(reported);
