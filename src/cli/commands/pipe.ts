import { ChannelClosedError } from "../../../mod.ts";
import type { Command } from "../command.ts";
import { UsageError } from "../cli_error.ts";
import { moveAll } from "../moving.ts";
import { count } from "../numbers.ts";
import { Progress } from "../progress.ts";
import { transformAll } from "../transforming.ts";
import type { NotationOptions } from "../values.ts";

interface Options extends NotationOptions {
  readonly to?: string;
  readonly count?: number;
  readonly follow?: boolean;
  readonly batch?: number;
}

export const command: Command<Options> = {
  args: "<from> <to> [program...]",
  argHelp: {
    from: "the name of the channel whose values are moved",
    to: "the name of the channel that gets them",
    program: "a program that the values pass through, and its arguments, after --",
  },
  description:
    "Moves the values of a channel into another one, on the same connection or another " +
    "one, and loses none: a value is taken out when the other channel has it. With a " +
    "program, values pass through it: a line of JSON for each value is its stdin, and " +
    "each line of its stdout is put.",
  options: [
    {
      flags: "--to <uri>",
      description: "the connection of the second channel (default: that of the first)",
    },
    {
      flags: "-n, --count <n>",
      description: "the number of values (default: all that wait)",
      parse: count,
    },
    { flags: "--follow", description: "wait for more values, until the first channel is closed" },
    {
      flags: "--batch <n>",
      description: "the most values for a run of the program (default: 100)",
      parse: count,
    },
    { flags: "--raw", description: "values are text for the program, not JSON" },
    { flags: "--cbor", description: "values are CBOR items for the program" },
    {
      flags: "--null",
      description: "each value ends with a NUL byte for the program, not with a line",
    },
  ],
  examples: [
    {
      text: "move a queue to another broker",
      line: "channelts pipe jobs jobs --to amqp://new.example.org",
    },
    {
      text: "keep the values that jq selects",
      line: "channelts pipe in out --follow -- jq -c 'select(.ok)'",
    },
  ],
  notes: "Values are moved as they are, also those that cannot be decoded. If the command is " +
    "killed, a value may be in both channels. The program is run for each batch of " +
    "values that are there. If it ends with another code than 0, the values go back to " +
    "the channel, and nothing that it has written is put.",
  async run(context, [from, to, program], options) {
    const { follow = false, batch = 100 } = options;
    const most = options.count ?? Infinity;
    const line = program as readonly string[];
    if (from === to && options.to === undefined) {
      throw new UsageError(
        "pipe: the channels are the same; name another one, or another connection by --to",
      );
    }
    const connection = options.to === undefined ? undefined : context.connectionTo(options.to);
    const target = connection === undefined
      ? await context.channel(to as string)
      : context.open({ connection, name: to as string });
    const source = await context.raw(from as string, { create: follow });
    const progress = new Progress(options.quiet === true);
    let done = 0;
    const moved = (count: number) => {
      done = count;
      progress.show(`pipe: ${count} moved`);
    };
    try {
      if (line.length > 0) {
        const [first, ...rest] = line as readonly [string, ...string[]];
        await transformAll(context, {
          ...{ from: source, to: target, most, follow, batch, moved },
          ...{ program: [first, ...rest], notation: options },
        });
      } else {
        await moveAll(context, {
          ...{ from: source, to: context.rawOf(target), most, follow, moved },
          encoding: connection && target,
        });
      }
    } catch (error) {
      const isOver = follow && error instanceof ChannelClosedError && !target.closed;
      if (!isOver) throw error;
    } finally {
      progress.end();
      if (options.json) await context.output.line(JSON.stringify({ moved: done }));
      else context.output.note(`pipe: ${done === 1 ? "1 value" : `${done} values`} moved`);
    }
  },
};
