/** Verifies that the clients do the same work, observed on the wire between them and the broker. */
import assert from "node:assert/strict";
import { consumeSome, putMany } from "./clients/client.ts";
import { clients } from "./clients/mod.ts";
import { openRaw } from "./clients/raw.ts";
import { progress, table } from "./output.ts";
import { Tap } from "./tap.ts";

const COUNT = 1000;

/**
 * Lets each client put and get, and rejects if one does less than another: each message must be persistent, mandatory,
 * with content type and id, confirmed, stored, delivered, and acknowledged. Prints what each client sends.
 */
export async function checkClients(uri: string): Promise<void> {
  if (new URL(uri).protocol !== "amqp:") return;
  const tap = new Tap(uri);
  const tapped = await tap.listen();
  const inspector = await openRaw(uri);
  const rows = [];
  for (const [name, open] of Object.entries(clients)) {
    progress(`looking at what ${name} sends`);
    const queue = `bench-verify-${crypto.randomUUID()}`;
    const client = await open(tapped);
    await client.declare(queue);

    tap.reset();
    await putMany(COUNT, () => client.put(queue, new Uint8Array(64)));
    const { published, guaranteed, confirmed, ...put } = tap.traffic;
    const what = `${client.label}: puts`;
    assert.deepEqual({ published, guaranteed, confirmed }, {
      published: COUNT,
      guaranteed: COUNT,
      confirmed: COUNT,
    }, what);
    assert.equal(await inspector.depth(queue), COUNT, what);

    tap.reset();
    const late = AbortSignal.timeout(10_000);
    await Promise.race([
      consumeSome(client, queue, 500, COUNT),
      rejectedBy(late, `${client.label} does not get ${COUNT} values that are there`),
    ]);
    const loop = { ...tap.traffic };
    await client.close();
    const { delivered, unaccounted, acked, released } = tap.traffic;
    assert.deepEqual({ delivered: delivered - released, unaccounted, acked }, {
      delivered: COUNT,
      unaccounted: 0,
      acked: COUNT,
    }, `${client.label}: gets`);
    assert.equal(await inspector.depth(queue), 0, `${client.label}: gets`);
    await inspector.delete(queue);
    if (name === "channel") await inspector.channel.exchangeDelete(queue);
    rows.push([
      client.label,
      (put.bytes / COUNT).toFixed(0),
      (put.chunks / COUNT).toFixed(3),
      (loop.bytes / COUNT).toFixed(0),
      (loop.chunks / COUNT).toFixed(3),
    ]);
  }
  await inspector.close();
  await tap.close();
  table("all do the same, as seen on the wire; what each sends for a value:", [
    ["", "put: bytes", "chunks", "get: bytes", "chunks"],
    ...rows,
  ]);
}

/** Rejects when the signal is aborted. */
function rejectedBy(signal: AbortSignal, message: string): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error(message)));
  });
}
