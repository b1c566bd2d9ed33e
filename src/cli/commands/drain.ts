import { type Channel, ChannelClosedError, ChannelTimeoutError } from "../../../mod.ts";
import { CliError } from "../cli_error.ts";
import type { Command } from "../command.ts";
import type { CommonOptions } from "../common_options.ts";
import type { Context } from "../context.ts";
import { exitCodes } from "../exit_code.ts";
import { Progress } from "../progress.ts";

interface Options {
  readonly wait?: boolean;
}

export const command: Command<Options> = {
  args: "<name>",
  argHelp: { name: "the name of the channel" },
  description: "Closes a channel as Go does: puts are rejected from now on, and consumers get " +
    "the values that are there. Then it waits until every value has been accepted.",
  options: [{ flags: "--no-wait", description: "do not wait for the consumers" }],
  examples: [
    {
      text: "let consumers finish, for an hour at most",
      line: "channelts drain jobs --timeout 3600000",
    },
    { text: "stop producers now", line: "channelts drain jobs --no-wait" },
    { text: "open the channel again, when it is empty", line: "channelts delete jobs --yes" },
  ],
  notes: "The channel stays closed until it is deleted, also after Ctrl-C. If values are " +
    "left after --timeout, the exit code is 3.",
  async run(context, [name], options) {
    const channel = await context.existing(name as string);
    await channel.closeAll({ drain: true, ...context.waiting });
    if (options.wait !== false) await untilDone(context, channel, options);
  },
};

/** Resolves when no value of a drained channel waits or is on loan. */
async function untilDone(
  context: Context,
  channel: Channel,
  options: CommonOptions,
): Promise<void> {
  const { timeout = Infinity, quiet } = options;
  const deadline = performance.now() + timeout;
  const left = () => {
    const ms = Math.max(0, deadline - performance.now());
    return { signal: context.signal, ...timeout === Infinity ? {} : { timeout: ms } };
  };
  const raw = await context.raw(channel.name);
  const progress = new Progress(quiet === true);
  const timer = setInterval(() => void showDepth(channel, progress), 500);
  try {
    for (;;) {
      await channel.whenEmpty(left());
      // While values are on loan, a receive waits. It is rejected when all are accepted.
      const delivery = await raw.receive(left());
      delivery.release(); // a consumer has given it back
    }
  } catch (error) {
    if (error instanceof ChannelTimeoutError) {
      throw new CliError(
        `drain: channel ${channel.name}: values are left after ${timeout} ms; it stays closed for puts`,
        { exitCode: exitCodes.timeout, cause: error },
      );
    }
    if (!(error instanceof ChannelClosedError && error.reason === "drain")) throw error;
  } finally {
    clearInterval(timer);
    progress.end();
  }
}

async function showDepth(channel: Channel, progress: Progress): Promise<void> {
  try {
    const depth = await channel.depth();
    progress.show(`drain: ${depth === 1 ? "1 value waits" : `${depth} values wait`}`);
  } catch {
    // What waits for the channel rejects, too.
  }
}
