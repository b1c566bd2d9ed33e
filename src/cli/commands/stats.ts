import { setTimeout as pause } from "node:timers/promises";
import { ChannelClosedError } from "../../../mod.ts";
import { env } from "../../shared/host.ts";
import type { Command } from "../command.ts";
import type { CommonOptions } from "../common_options.ts";
import type { Context } from "../context.ts";
import { milliseconds } from "../numbers.ts";
import { tableOf } from "../stats/figures_table.ts";
import { LiveScreen } from "../stats/live_screen.ts";
import { type Figures, WatchedChannel } from "../stats/watched_channel.ts";

interface Options {
  readonly watch?: boolean;
  readonly interval?: number;
}

export const command: Command<Options> = {
  args: "<names...>",
  argHelp: { names: "the names of the channels" },
  description: "Prints for each channel how many values wait (the depth), are on loan and are " +
    "dead letters, and how many consumers there are. A number that the engine cannot tell is " +
    "a dash, and absent in JSON.",
  options: [
    { flags: "-w, --watch", description: "print again and again; on a terminal, a live table" },
    {
      flags: "--interval <ms>",
      description: "milliseconds between readings with --watch (default: 1000)",
      parse: milliseconds,
    },
  ],
  examples: [
    { text: "how much is left to do", line: "channelts stats jobs results" },
    { text: "watch a channel", line: "channelts stats jobs --watch" },
    { text: "a number for a script", line: "channelts stats jobs --json | jq .depth" },
    {
      text: "a line of JSON every minute",
      line: "channelts stats jobs --watch --interval 60000 --json",
    },
  ],
  notes: "CHANGE/S is the change of the depth, in values a second. The exit code is " +
    "4 if a channel does not exist. With --watch, a channel that is missing or cannot " +
    "be reached is tried again.",
  async run(context, [names], options) {
    const channels = (names as readonly string[]).map((name) => new WatchedChannel(context, name));
    if (!options.watch) return await printOnce(context, channels, options.json);
    const isLive = context.output.isTerminal && !options.json && env("TERM") !== "dumb";
    return await (isLive ? watchLive : watchLines)(context, channels, options);
  },
};

async function printOnce(
  context: Context,
  channels: readonly WatchedChannel[],
  isJson = false,
): Promise<void> {
  const results = await Promise.allSettled(channels.map((each) => each.read(context.waiting)));
  const all = results.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
  if (isJson) await printJson(context, all);
  else if (all.length > 0) await printTable(context, all);
  const failures = results.flatMap((each) => each.status === "rejected" ? [each.reason] : []);
  // Of several failures, what is worse than a missing channel decides the exit code.
  const worst = failures.find((error) => !(error instanceof ChannelClosedError)) ?? failures.at(-1);
  for (const error of failures) if (error !== worst) context.output.error((error as Error).message);
  if (failures.length > 0) throw worst;
}

async function printTable(context: Context, all: readonly Figures[]): Promise<void> {
  const { output } = context;
  for (const line of tableOf(all, (style, text) => output.style(style, text))) {
    await output.line(line);
  }
}

/** The time is that of a reading, and is left out if there is one reading only. */
async function printJson(
  context: Context,
  all: readonly Figures[],
  isTimed = false,
): Promise<void> {
  for (const { time, ...figures } of all) {
    await context.output.line(JSON.stringify(isTimed ? { time, ...figures } : figures));
  }
}

/** Yields readings of the channels, until the signal is aborted. */
async function* readings(
  { signal }: Context,
  channels: readonly WatchedChannel[],
  { interval = 1000, timeout = Math.max(interval, 3000) }: Options & CommonOptions,
): AsyncGenerator<readonly Figures[], never> {
  for (;;) {
    const start = performance.now();
    yield await Promise.all(channels.map((each) => each.readOrTrouble({ signal, timeout })));
    const left = Math.max(0, interval - (performance.now() - start));
    await pause(left, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function watchLines(
  context: Context,
  channels: readonly WatchedChannel[],
  options: Options & CommonOptions,
): Promise<void> {
  const { output } = context;
  let titles = "";
  for await (const all of readings(context, channels, options)) {
    if (options.json) {
      await printJson(context, all, true);
      continue;
    }
    const [first, ...rows] = tableOf(all, (style, text) => output.style(style, text), true);
    if (first !== titles) await output.line(`TIME      ${titles = first!}`);
    for (const row of rows) await output.line(`${timeOfDay()}  ${row}`);
  }
}

async function watchLive(
  context: Context,
  channels: readonly WatchedChannel[],
  options: Options & CommonOptions,
): Promise<void> {
  const { output } = context;
  const { address } = await context.connection();
  const { interval = 1000 } = options;
  const screen = await LiveScreen.begin(output);
  let table: readonly string[] = [];
  try {
    await screen.show([output.style("dim", `${address}: reading`)]);
    for await (const all of readings(context, channels, options)) {
      table = tableOf(all, (style, text) => output.style(style, text), true);
      const above = `${address}  ${timeOfDay()}  every ${interval / 1000} s, Ctrl-C ends`;
      await screen.show([output.style("dim", above), ...table]);
    }
  } finally {
    await screen.end();
    for (const line of table) await output.line(line); // the last figures stay
  }
}

function timeOfDay(): string {
  return new Date().toTimeString().slice(0, 8);
}
