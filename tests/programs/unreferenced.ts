// Makes connections, drops all references to them, and reports which of them a channel reference can still name.
import process from "node:process";
import { Channel, Connection } from "../../mod.ts";
import { encode } from "../../src/encoding/cbor/mod.ts";
import { MemoryTransport } from "../../src/transports/memory/transport.ts";
import { send } from "../support/child_side.ts";
import { linkOptions, rawOn } from "../support/link.ts";

const runtime = globalThis as unknown as { gc?(): void; Bun?: { gc(force: boolean): void } };

async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 6; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    runtime.Bun ? runtime.Bun.gc(true) : runtime.gc!();
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
}

const uri = (host: string) => `amqp://user:hunter2@${host}.invalid`;

class Anything {}
const ch = new Channel<unknown>({ name: "carrier", connection: "memory:forgotten" });
await ch.depth();
const raw = rawOn(await MemoryTransport.at("memory:forgotten").open("carrier", linkOptions));

/** Returns what arrives of a reference to a channel on this host; undefined if the host is not configured. */
async function arrived(host: string): Promise<unknown> {
  const address = `amqp://${host}.invalid:5672/%2F`;
  const body = encode(new Anything(), { extension: () => ["Channel", "x", address] });
  await raw.put({ body, contentType: "application/cbor" });
  try {
    return await ch.get();
  } catch (error) {
    if ((error as Error).name === "ChannelReferenceError") return undefined;
    throw error;
  }
}

async function closed(host: string): Promise<Channel> {
  const ch = new Channel({ name: "x", connection: uri(host) });
  await ch.close();
  return ch;
}

const held = [
  new Channel({ name: "x", connection: uri("channel") }),
  await closed("closed"),
  new Connection(uri("connection"), { name: "held" }),
  new Channel({ name: "x", connection: uri("directed") }).sender,
];
process.env.CHANNELTS_URI = uri("named");
await new Channel("x").close();

const dropped: unknown[] = [
  await closed("arrived"),
  await closed("dropped"),
  new Connection(uri("dropped-too"), { name: "dropped" }),
];
held.push(await arrived("arrived") as Channel);
await new Channel({ name: "kept", connection: "memory:kept" }).put("kept");

const hosts = ["channel", "closed", "connection", "directed", "named", "arrived", "dropped"];
async function counting(): Promise<string[]> {
  const counting = [];
  for (const host of [...hosts, "dropped-too", "never"]) {
    if (await arrived(host) !== undefined) counting.push(host);
  }
  return counting;
}

const atFirst = await counting();
dropped.length = 0;
let afterwards = atFirst;
// An engine may consider something on the stack a reference to it.
for (let tries = 0; tries < 5 && afterwards.length >= hosts.length; tries++) {
  await collectGarbage();
  afterwards = await counting();
}
const value = await new Channel({ name: "kept", connection: "memory:kept" }).get();

// Many connections, each used for a moment.
async function many(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await closed(`many-${i}`);
}
await many(200);
await collectGarbage();
const before = process.memoryUsage().heapUsed;
await many(20_000);
await collectGarbage();
const grown = process.memoryUsage().heapUsed - before;
send({ atFirst, afterwards, value, grown, held: held.length });
process.exit(0);
