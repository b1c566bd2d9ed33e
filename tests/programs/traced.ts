// Puts, or gets, with telemetry into memory. Arguments: the folder of the SDK, the connection, the channel's name, and the
// role: `putter`, `getter` or `both`. Sends "ready", and at the end the spans and the metrics.
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { Channel, serve } from "../../mod.ts";
import { instrument, processing } from "../../opentelemetry.ts";
import { messages, send } from "../support/child_side.ts";
import { type FoundMetric, startTelemetry } from "../support/telemetry.ts";

const [folder, connection, name, role] = process.argv.slice(2) as [string, string, string, string];
const telemetry = startTelemetry(createRequire(join(folder, "none.js")));
const ch = new Channel<string>({ name, connection });
const instrumented = instrument();
if (role !== "getter") instrumented.observe(ch);

async function put(): Promise<void> {
  await telemetry.within("checkout", async () => {
    await ch.put("got");
    await ch.put("received");
    telemetry.note({ reply: await ch.request("asked", { timeout: 60_000 }) });
  });
}

async function get(): Promise<void> {
  await ch.get({ timeout: 60_000 });
  const delivery = await ch.receive({ timeout: 60_000 });
  await processing(delivery, async () => {
    await telemetry.within("render", () => Promise.resolve());
    delivery.accept();
  });
  const stop = new AbortController();
  await serve(ch, async (value) => {
    await telemetry.within("answer", () => Promise.resolve());
    stop.abort();
    return `${value} ${value}`;
  }, { signal: stop.signal });
}

function isMore({ value }: FoundMetric["points"][number]): boolean {
  return value as number > 0;
}

await ch.depth();
send("ready");
await Promise.all([role !== "getter" && put(), role !== "putter" && get()]);
let metrics: FoundMetric[];
do metrics = await telemetry.metrics(); // the confirmation of the reply may be on its way
 while (metrics.some(({ name, points }) => name.endsWith("outstanding") && points.some(isMore)));
await ch.close();
instrumented.stop();
send({ spans: telemetry.spans(), metrics, notes: telemetry.notes });
for await (const _ of messages());
