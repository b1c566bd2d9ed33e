import {
  ChannelDecodeError,
  ChannelReferenceError,
  ChannelTimeoutError,
  type Delivery,
  type Message,
} from "../../../mod.ts";
import type { RawChannel } from "../../channel/raw_channel.ts";
import type { Command } from "../command.ts";
import type { Context } from "../context.ts";
import { count } from "../numbers.ts";
import { OutputClosedError } from "../output.ts";
import { type ReadingOptions, textOf } from "../reading.ts";
import { outputOptions } from "../values.ts";

interface Options extends ReadingOptions {
  readonly count?: number;
}

export const command: Command<Options> = {
  args: "<name>",
  argHelp: { name: "the name of the channel" },
  description: "Prints the values that wait in a channel, the first one first, and leaves them " +
    "there.",
  options: [
    { flags: "-n, --count <n>", description: "the most values (default: 10)", parse: count },
    ...outputOptions,
  ],
  examples: [
    { text: "see which values wait", line: "channelts peek jobs" },
    {
      text: "see the next value and how often it was received",
      line: "channelts peek jobs -n 1 --json",
    },
  ],
  notes: "The values are received, and released when the last one is printed. Meanwhile no " +
    "other program gets them, and afterwards each counts as received once more. What " +
    "JSON does not have is printed in its nearest form; a value that cannot be decoded " +
    "is named on stderr. The exit code is 3 if no value waits, and 4 if there is no such " +
    "channel.",
  async run(context, [name], options) {
    const channel = await context.raw(name as string);
    const held: Delivery<Message>[] = [];
    try {
      const most = options.count ?? 10;
      while (held.length < most) {
        const delivery = await channel.receive({ timeout: 0, signal: context.signal });
        held.push(delivery);
        await print(context, channel, delivery, options, held.length);
      }
    } catch (error) {
      if (error instanceof OutputClosedError) return;
      if (!(error instanceof ChannelTimeoutError)) throw error;
      if (held.length === 0) throw error;
    } finally {
      for (const delivery of held) delivery.release(); // in their order
    }
  },
};

async function print(
  { output }: Context,
  channel: RawChannel,
  delivery: Delivery<Message>,
  options: Options,
  index: number,
): Promise<void> {
  try {
    await output.write(textOf(channel, delivery, { ...options, lossy: true }));
  } catch (error) {
    const isKnown = error instanceof ChannelDecodeError || error instanceof ChannelReferenceError;
    if (!isKnown) throw error;
    output.error(`peek: value ${index}: ${error.message}`);
  }
}
