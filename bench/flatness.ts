/**
 * Measures whether costs stay flat: each shape of use with n and with 4n operations, and the ratio of the cost per
 * operation. A ratio of 1 is flat; 4 means a quadratic cost. `flatness.ts [--on-transports=memory,sqlite,amqp]
 * [--only=TEXT]` measures only the shapes whose name contains the text. RabbitMQ is included if `BROKER` is set.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel, type ChannelOptions } from "../mod.ts";
import { held } from "./gc.ts";
import { heading, note, progress, record, type Row, table, thousands } from "./output.ts";
import { type Bench, type Scheme, type Shape, shapes } from "./shapes.ts";

/**
 * The factor between the two sizes: with a linear cost, the cost per operation is the same; with a quadratic cost, it
 * is 4 times as high.
 */
const FACTOR = 4;
/** The minimum of this many runs counts, because a busy machine only adds time. */
const RUNS = 3;
/** Ratios from this value on are marked. */
const SUSPECT = 2;

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "channelts-flatness-"));
  const connections: Partial<Record<Scheme, string>> = {
    memory: "memory:",
    sqlite: `sqlite:${join(directory, "bench.db")}`,
  };
  if (process.env.BROKER) connections.amqp = process.env.BROKER;
  const wanted = option("on-transports")?.split(",");
  try {
    for (const [scheme, connection] of Object.entries(connections)) {
      if (wanted !== undefined && !wanted.includes(scheme)) continue;
      await benchOn(scheme as Scheme, connection, option("only") ?? "");
    }
  } finally {
    rmSync(directory, { recursive: true, maxRetries: 5, retryDelay: 100 });
  }
}

async function benchOn(scheme: Scheme, connection: string, only: string): Promise<void> {
  heading(`growth on ${scheme}:`);
  const rows: Row[] = [];
  const suspects: string[] = [];
  for (const shape of shapes) {
    const n = shape.n[scheme];
    if (n === undefined || !shape.name.includes(only)) continue;
    progress(`${scheme}: ${shape.name}`);
    const [few, many] = [
      new Measure(shape, connection, n),
      new Measure(shape, connection, FACTOR * n),
    ];
    await few.run(); // warms up
    few.forget();
    for (let i = 0; i < RUNS; i++) {
      await few.run();
      await many.run();
    }
    if (shape.keeps) {
      await few.weigh();
      await many.weigh();
    }
    const ratio = many.cost / few.cost;
    if (ratio >= SUSPECT) suspects.push(shape.name);
    const costs = [few, many].map(({ cost }) => cost.toFixed(1));
    const kept = shape.keeps ? [few, many].map((each) => thousands(each.kept)) : ["", ""];
    rows.push([shape.name, thousands(n), ...costs, ratio.toFixed(2), ...kept]);
    const memory = shape.keeps ? `, ${kept[1]} B` : "";
    record(`growth on ${scheme}:`, shape.name, `${ratio.toFixed(2)}${memory}`);
  }
  const header = ["", "n", "µs each at n", "at 4n", "ratio", "bytes kept each at n", "at 4n"];
  table("CPU time and memory per operation", [header, ...rows]);
  if (suspects.length > 0) note(`grows with n: ${suspects.join("; ")}`);
}

/** One shape with one number of operations. */
class Measure implements Bench {
  readonly connection: string;
  readonly #shape: Shape;
  readonly #count: number;
  /** Microseconds of CPU per operation: the minimum of the runs. */
  cost = Infinity;
  /** Bytes that each operation leaves. */
  kept = NaN;
  #isWeighed = false;
  #channels: Channel<never>[] = [];

  constructor(shape: Shape, connection: string, count: number) {
    this.#shape = shape;
    this.connection = connection;
    this.#count = count;
  }

  channel<T>(options: ChannelOptions = {}): Channel<T> {
    const channel = new Channel<T>({ connection: this.connection, ...options });
    this.#channels.push(channel as Channel<never>);
    return channel;
  }

  async measure(work: () => Promise<unknown>): Promise<void> {
    if (!this.#isWeighed) {
      const start = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(start);
      this.cost = Math.min(this.cost, (user + system) / this.#count);
      return;
    }
    const before = await held();
    await work();
    this.kept = (await held() - before) / this.#count;
  }

  async run(): Promise<void> {
    const leave = await this.#shape.run(this, this.#count);
    await leave?.();
    for (const channel of this.#channels.splice(0)) {
      await channel.delete().catch(() => {}); // the shape may have deleted it
      await channel.close();
    }
  }

  async weigh(): Promise<void> {
    this.#isWeighed = true;
    await this.run();
  }

  forget(): void {
    this.cost = Infinity;
  }
}

function option(name: string): string | undefined {
  return process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(`--${name}=`.length);
}

if (import.meta.main) await main();
