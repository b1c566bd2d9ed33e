/**
 * Measures many handles on one connection: handles.ts [--handles=10000]. The results are the rate of attaching, the
 * memory of a handle, and the cost of idle ones.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../mod.ts";
import { openRaw } from "./clients/raw.ts";
import { type Memory, memory } from "./gc.ts";
import { heading, note, progress, record, table, thousands } from "./output.ts";

/** How many handles attach at once. */
const AT_ONCE = 100;
const IDLE_HANDLES = 1000;
const IDLE_SECONDS = 5;
/** How many operations of the raw client are measured: the broker's share of the time is the same for more. */
const REFERENCE = 1000;

export async function benchHandles(connection: string, count: number): Promise<void> {
  heading("many handles on one connection");
  const id = crypto.randomUUID();
  const raw = await openRaw(connection);
  const idleNone = await idle();
  const channels = await raw.openChannels(AT_ONCE);
  // all exchanges are bound to this queue, as the library's are to its announcement queue
  await raw.declare(`bench-raw-${id}`);
  const reference = await inTurn("raw declarations", REFERENCE, async (i) => {
    const name = `bench-raw-${id}-${i}`;
    const channel = channels[i % AT_ONCE]!;
    await Promise.all([
      channel.queueDeclare(name, { durable: true }),
      channel.exchangeDeclare(name, "fanout", { durable: true }),
      channel.queueBind(`bench-raw-${id}`, name, ""),
    ]);
  });
  const undone = await inTurn("raw deletions", REFERENCE, async (i) => {
    const name = `bench-raw-${id}-${i}`;
    const channel = channels[i % AT_ONCE]!;
    await Promise.all([channel.queueDelete(name), channel.exchangeDelete(name)]);
  });
  await raw.delete(`bench-raw-${id}`);
  await raw.close();

  const named = (i: number) => new Channel<number>({ name: `bench-${id}-${i}`, connection });
  const first = named(0);
  await first.depth();
  const idleOne = await idle();
  const idleHandles = [first];
  await inTurn("handles that will be idle", IDLE_HANDLES, async (i) => {
    // Half of the handles are anonymous, with a lease to renew.
    const ch = i % 2 ? named(count + i) : first.clone<number>();
    idleHandles.push(ch);
    await ch.depth();
  });
  const idleAll = await idle();
  await inTurn("ends of idle handles", idleHandles.length - 1, (i) => idleHandles[i + 1]!.delete());

  const before = await memory();
  const handles: Channel<number>[] = [];
  const attached = await inTurn("handles attach", count, async (i) => {
    const ch = named(i + 1);
    handles.push(ch);
    await ch.depth();
  });
  const full = await memory();
  const dups: Channel<number>[] = [];
  const duplicated = await inTurn("handles on one channel attach", count, async () => {
    const ch = first.dup();
    dups.push(ch);
    await ch.depth();
  });
  const fuller = await memory();
  const deleted = await inTurn("channels are deleted", count, (i) => handles[i]!.delete());
  await Promise.all(dups.splice(0).map((ch) => ch.close()));
  handles.length = 0;
  const after = await memory();
  await first.delete();

  const title = `${thousands(count)} handles, ${AT_ONCE} at a time`;
  const rate = (label: string, rate: number, ratio = "") => {
    const text = `${thousands(rate)} /s${ratio && ` (${ratio})`}`;
    record(title, label, text);
    return [label, `${thousands(rate)} /s`, ratio];
  };
  const each = (label: string, less: Memory, more: Memory) => {
    const [rss, heap] = [more.rss - less.rss, more.heap - less.heap].map((bytes) =>
      `${(bytes / count / 1024).toFixed(2)} KB`
    );
    record(title, label, `RSS ${rss}, heap ${heap}`);
    return [label, rss!, heap!];
  };
  table(title, [
    ["", "", "× raw client"],
    rate("raw: queue, exchange, binding", reference),
    rate("handles on channels of their own: attach", attached, (attached / reference).toFixed(2)),
    rate("handles on one channel: depth() of each", duplicated),
    rate("raw: delete queue and exchange", undone),
    rate("delete()", deleted, (deleted / undone).toFixed(2)),
  ]);
  table("memory of a handle", [
    ["", "RSS", "heap"],
    each("on a channel of its own", before, full),
    each("on a channel that is attached", full, fuller),
    each("left when all are gone", before, after),
  ]);
  const cpu = (ms: number) => `${ms.toFixed(2)} ms/s`;
  const label = `CPU of ${thousands(idleHandles.length)} idle handles, of one, and of none`;
  const text = [idleAll, idleOne, idleNone].map(cpu).join(", ");
  record(title, label, text);
  note(`${label}: ${text} (over ${IDLE_SECONDS} s)`);
}

/** Does work `count` times and returns the rate per second. */
async function inTurn(
  what: string,
  count: number,
  once: (i: number) => Promise<unknown>,
): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < count; i += AT_ONCE) {
    progress(`${what}: ${thousands(i)} of ${thousands(count)}`);
    const size = Math.min(AT_ONCE, count - i);
    await Promise.all(Array.from({ length: size }, (_, j) => once(i + j)));
  }
  progress();
  return count / (performance.now() - start) * 1000;
}

/** Returns the milliseconds of CPU per second while no operation runs. */
async function idle(): Promise<number> {
  await memory(); // so that the garbage collector has nothing left to do
  await pause(1000);
  const start = process.cpuUsage();
  await pause(IDLE_SECONDS * 1000);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000 / IDLE_SECONDS;
}

if (import.meta.main) {
  const option = process.argv.find((arg) => arg.startsWith("--handles="))?.slice(
    "--handles=".length,
  );
  await benchHandles(process.env.BROKER!, Number(option ?? 10_000));
}
