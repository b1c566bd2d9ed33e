import type { Channel, Delivery } from "../../../mod.ts";
import { ChannelClosedError } from "../../../mod.ts";
import { CliError, UsageError } from "../cli_error.ts";
import type { Command } from "../command.ts";
import type { Context } from "../context.ts";
import { count } from "../numbers.ts";
import { type NotationOptions, outputOptions, writeValue } from "../values.ts";

interface Options extends NotationOptions {
  readonly count?: number;
  readonly follow?: boolean;
  readonly lossy?: boolean;
}

export const command: Command<Options> = {
  args: "<name>",
  argHelp: { name: "the name of the channel" },
  description: "Gets values from a channel, and prints each as a line of JSON. A value is taken\n" +
    "out of the channel when it has been written to stdout.",
  options: [
    { flags: "-n, --count <n>", description: "the number of values (default: 1)", parse: count },
    { flags: "--follow", description: "get values until the channel is closed" },
    ...outputOptions,
    { flags: "--lossy", description: "print what JSON does not have in its nearest form" },
  ],
  examples: [
    { text: "wait for a value", line: "channelts get jobs" },
    { text: "take a value that is there, or exit with 3", line: "channelts get jobs --timeout 0" },
    { text: "print values as they come", line: "channelts get jobs --follow" },
    { text: "save an image", line: "channelts get images --raw >photo.jpg" },
  ],
  notes: "A value that JSON cannot represent goes back to the channel, and the command\n" +
    "fails; --cbor and --lossy print it. With --follow the exit code is 0 when the\n" +
    "channel is closed.",
  async run(context, [name], options) {
    if (options.follow && options.count !== undefined) {
      throw new UsageError("get: --follow and --count exclude each other; leave one of them out");
    }
    const channel = await context.channel(name as string);
    let left = options.follow ? Infinity : options.count ?? 1;
    try {
      for (; left > 0; left--) await getOne(context, channel, options);
    } catch (error) {
      if (options.follow && error instanceof ChannelClosedError) return;
      throw error;
    }
  },
};

/** Prints a value, and then takes it out of the channel. */
async function getOne(context: Context, channel: Channel, options: Options): Promise<void> {
  const delivery: Delivery = await channel.receive(context.waiting);
  try {
    await context.output.write(textOf(delivery.value, options));
  } catch (error) {
    delivery.release();
    throw error;
  }
  delivery.accept();
}

function textOf(value: unknown, options: Options): string | Uint8Array {
  try {
    return writeValue(value, options, options.lossy !== true);
  } catch (cause) {
    if (!(cause instanceof CliError)) throw cause;
    throw new CliError(`get: ${cause.message}; the value is back in the channel`, { cause });
  }
}
