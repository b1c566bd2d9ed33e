import type { Command } from "../command.ts";
import { count } from "../numbers.ts";
import { measure, type Results } from "../measurement.ts";
import { Progress } from "../progress.ts";

interface Options {
  readonly count?: number;
  readonly size?: number;
  readonly concurrency?: number;
  readonly durability?: "classic" | "quorum";
}

export const command: Command<Options> = {
  description: "Measures the broker, home or file with a channel of its own, which is deleted " +
    "afterwards: how long a put takes, how long a value takes from a put to a get that " +
    "waits, and how many values a second are put and got. All is done by this one " +
    "process over one connection, so a broker may do more for several processes.",
  options: [
    {
      flags: "-n, --count <n>",
      description: "the number of values for each rate (default: 10000)",
      parse: count,
    },
    { flags: "--size <bytes>", description: "the bytes of a value (default: 64)", parse: count },
    {
      flags: "--concurrency <n>",
      description: "the operations that are in progress at a time (default: 256)",
      parse: count,
    },
    {
      flags: "--durability <type>",
      description: "the queue type on RabbitMQ (default: classic)",
      choices: ["classic", "quorum"],
    },
  ],
  examples: [
    { text: "measure the configured connection", line: "channelts bench" },
    {
      text: "measure large values on a file",
      line: "channelts bench --connection sqlite:jobs.db --size 100000 -n 1000",
    },
  ],
  notes: "Other programs on the broker and on this machine change the figures: run it " +
    "several times.",
  async run(context, _, options) {
    const { durability, quiet } = options;
    const connection = await context.connection();
    const channel = context.open<Uint8Array>({
      connection,
      ...durability === undefined ? {} : { durability },
    });
    const progress = new Progress(quiet === true);
    const { count = 10_000, size = 64, concurrency = 256 } = options;
    let results: Results;
    try {
      results = await measure(channel, {
        count,
        size,
        concurrency,
        waiting: context.waiting,
        progress: (what, done, of) =>
          progress.show(`bench: ${what}: ${Math.floor(done / of * 100)} %`),
      });
    } finally {
      progress.end();
      await channel[Symbol.asyncDispose](); // deletes it
    }
    const { address } = connection;
    const course = { address, count, size, concurrency };
    if (options.json) return await context.output.line(JSON.stringify({ ...course, ...results }));
    for (const line of linesOf(results)) await context.output.line(line);
    context.output.note(`${address}: ${count} values of ${size} bytes, ${concurrency} at a time`);
  },
};

function linesOf({ attach, put, trip, puts, gets, both }: Results): string[] {
  const ms = (n: number) => `${n.toFixed(3)} ms`.padStart(13);
  const rate = (n: number) => `${n.toLocaleString("en")} /s`.padStart(13);
  return [
    `${"".padEnd(16)}${"median".padStart(13)}${"99 %".padStart(13)}${"longest".padStart(13)}`,
    ...Object.entries({ "put": put, "put to get": trip }).map(([name, { median, p99, max }]) =>
      `${name.padEnd(16)}${ms(median)}${ms(p99)}${ms(max)}`
    ),
    `${"attach".padEnd(16)}${ms(attach)}`,
    "",
    `${"puts".padEnd(16)}${rate(puts)}`,
    `${"gets".padEnd(16)}${rate(gets)}`,
    `${"puts and gets".padEnd(16)}${rate(both)}`,
  ];
}
