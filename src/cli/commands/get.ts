import {
  ChannelClosedError,
  ChannelDecodeError,
  ChannelReferenceError,
  type Delivery,
  type Message,
} from "../../../mod.ts";
import type { RawChannel } from "../../channel/raw_channel.ts";
import { CliError, UsageError } from "../cli_error.ts";
import type { Command } from "../command.ts";
import type { Context } from "../context.ts";
import { count } from "../numbers.ts";
import { type ReadingOptions, textOf } from "../reading.ts";
import { receiptsOption, ReceiptsReader } from "../receipts.ts";
import { outputOptions } from "../values.ts";

interface Options extends ReadingOptions {
  readonly count?: number;
  readonly follow?: boolean;
  readonly receipts?: string;
}

/** Milliseconds to wait for receipts after Ctrl-C. */
const grace = 5000;

export const command: Command<Options> = {
  args: "<name>",
  argHelp: { name: "the name of the channel" },
  description: "Gets values from a channel, and prints each as a line of JSON. A value is taken " +
    "out of the channel when it has been written to stdout. If the command is killed before, " +
    "the value goes back.",
  options: [
    { flags: "-n, --count <n>", description: "the number of values (default: 1)", parse: count },
    { flags: "--follow", description: "get values until the channel is closed" },
    ...outputOptions,
    { flags: "--lossy", description: "print a value that JSON does not have in its nearest form" },
    receiptsOption,
  ],
  examples: [
    { text: "wait for a value", line: "channelts get jobs" },
    { text: "take a value that is there, or exit with 3", line: "channelts get jobs --timeout 0" },
    { text: "print values as they come", line: "channelts get jobs --follow" },
    { text: "save an image", line: "channelts get images --raw >photo.jpg" },
    {
      text: "pass values through jq; whichever is killed, nothing is lost",
      line: "channelts get in --follow --receipts s.sock | jq -c --unbuffered .n |\n" +
        "    channelts put out --receipts s.sock",
    },
  ],
  notes: "A value that JSON cannot represent, or that cannot be decoded, goes back to the " +
    "channel, and the command fails; --cbor and --lossy print the former. --json prints " +
    "an object with the value, attempts, redelivered, and reason. With --follow the " +
    "exit code is 0 when the channel is closed.\n\n" +
    "With --receipts, get and put name the same new file. get takes a value out of the " +
    "channel when put has put what became of it. If one of the programs ends before, the " +
    "value goes back. The programs between get and put must write one line for each line " +
    "that they read, and must not keep lines in a buffer.",
  async run(context, [name], options) {
    if (options.follow && options.count !== undefined) {
      throw new UsageError("get: --follow and --count exclude each other; leave one of them out");
    }
    const channel = await context.raw(name as string, { create: true });
    const most = options.follow ? Infinity : options.count ?? 1;
    if (options.receipts === undefined) {
      return await getAll(context, channel, most, options, (delivery) => delivery.accept());
    }
    const receipts = await ReceiptsReader.listen(options.receipts, context.signal);
    let failure: unknown;
    try {
      const either = AbortSignal.any([context.signal, receipts.ended]);
      const hold = (delivery: Delivery<Message>) => receipts.hold(delivery);
      await getAll(context, channel, most, options, hold, either);
    } catch (error) {
      failure = error;
    }
    await receipts.end(context.signal.aborted || failure !== undefined ? grace : Infinity);
    if (failure !== undefined && failure !== receipts.ended.reason) throw failure;
  },
};

/** Prints messages. @param printed settles a message that is written, now or later */
async function getAll(
  context: Context,
  channel: RawChannel,
  most: number,
  options: Options,
  printed: (delivery: Delivery<Message>) => void | Promise<void>,
  signal: AbortSignal = context.signal,
): Promise<void> {
  try {
    for (let left = most; left > 0; left--) {
      const delivery = await channel.receive({ ...context.waiting, signal });
      try {
        await context.output.write(written(channel, delivery, options));
      } catch (error) {
        delivery.release();
        throw error;
      }
      await printed(delivery);
    }
  } catch (error) {
    if (!(options.follow && error instanceof ChannelClosedError)) throw error;
  }
}

function written(
  channel: RawChannel,
  delivery: Delivery<Message>,
  options: Options,
): string | Uint8Array {
  try {
    return textOf(channel, delivery, options);
  } catch (cause) {
    const isKnown = cause instanceof CliError || cause instanceof ChannelDecodeError ||
      cause instanceof ChannelReferenceError;
    if (!isKnown) throw cause;
    throw new CliError(`get: ${cause.message}; the value is back in the channel`, { cause });
  }
}
