// deno-lint-ignore-file no-console
import { Channel } from "@channelts/channel";
import { AMQPClient, type AMQPMessage } from "@cloudamqp/amqp-client";
import { quantile } from "./compare.ts";
import { publish } from "./raw.ts";

/** One way, in milliseconds: half of the way there and back, between two processes. */
interface Trip {
  readonly label: string;
  readonly once: () => Promise<void>;
  readonly times: number[];
  readonly close: () => Promise<unknown>;
}

/** Latency from put to get across two processes, by channel and by the raw client, in turn. */
export async function benchLatency(uri: string): Promise<void> {
  const trips = [await rawTrip(uri), await channelTrip(uri)];
  for (let i = 0; i < 300; i++) {
    for (const { once } of trips) await once();
  }
  for (let round = 0; round < 20; round++) {
    for (const { once, times } of trips) {
      for (let i = 0; i < 100; i++) {
        const start = performance.now();
        await once();
        times.push((performance.now() - start) / 2);
      }
    }
  }
  console.log("\none-way latency put → get between two processes, 64 bytes, in ms");
  const reference = quantile(trips[0]!.times, 0.5);
  for (const { label, times } of trips) {
    const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
    console.log(
      `  ${label.padEnd(44)} median ${p50.toFixed(3)}   p99 ${p99.toFixed(3)}` +
        `${(p50 / reference).toFixed(2).padStart(8)} ×`,
    );
  }
  for (const { close } of trips) await close();
}

const body = new Uint8Array(64).fill(65);

function echo(how: string, uri: string, there: string, back: string): Deno.ChildProcess {
  const program = new URL("echo.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), { args: ["run", "-A", program, how, uri, there, back] })
    .spawn();
}

async function channelTrip(connection: string): Promise<Trip> {
  const id = crypto.randomUUID();
  const there = new Channel<Uint8Array>({ name: `there-${id}`, connection });
  const back = new Channel<Uint8Array>({ name: `back-${id}`, connection });
  const child = echo("channel", connection, there.name, back.name);
  const once = async () => {
    there.put(body);
    await back.get();
  };
  await once();
  const close = async () => {
    await there.closeAll();
    await child.status;
    await new Channel({ name: there.name, connection }).delete();
    await back.delete();
  };
  return { label: "channel", once, times: [], close };
}

async function rawTrip(uri: string): Promise<Trip> {
  const id = crypto.randomUUID();
  const client = new AMQPClient(uri);
  await client.connect();
  client.socket!.setNoDelay(true);
  const publishing = await client.channel();
  await publishing.confirmSelect();
  await publishing.queueDeclare(`there-${id}`, { durable: true });
  await publishing.queueDeclare(`back-${id}`, { durable: true });
  const consuming = await client.channel();
  await consuming.prefetch(1);
  let arrived: () => void = () => {};
  await consuming.basicConsume(`back-${id}`, { noAck: false }, (message: AMQPMessage) => {
    consuming.basicAck(message.deliveryTag);
    arrived();
  });
  const child = echo("raw", uri, `there-${id}`, `back-${id}`);
  const once = async () => {
    const back = new Promise<void>((resolve) => arrived = resolve);
    publish(publishing, `there-${id}`, body);
    await back;
  };
  await once();
  const close = async () => {
    await publishing.queueDelete(`there-${id}`);
    await publishing.queueDelete(`back-${id}`);
    await child.status;
    await client.close();
  };
  return { label: "raw client, consumers waiting", once, times: [], close };
}
