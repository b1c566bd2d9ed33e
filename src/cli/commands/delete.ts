import { ChannelClosedError } from "../../../mod.ts";
import type { Command } from "../command.ts";
import { confirm, yesOption } from "../confirmation.ts";
import type { Context } from "../context.ts";

interface Options {
  readonly yes?: boolean;
}

export const command: Command<Options> = {
  args: "<names...>",
  argHelp: { names: "the names of the channels" },
  description: "Deletes channels and their values. Operations of all programs on them are " +
    "rejected.",
  options: [yesOption],
  examples: [
    { text: "delete a channel, after a question", line: "channelts delete drafts" },
    {
      text: "delete a channel and its dead letters in a script",
      line: "channelts delete jobs jobs.dead-letters --yes",
    },
  ],
  notes: "Without a terminal, --yes is required. The exit code is 4 if a channel does not " +
    "exist; the others are deleted all the same.",
  async run(context, [names], { yes }) {
    let missing: unknown;
    for (const name of names as readonly string[]) {
      try {
        await deleteOne(context, name, yes);
      } catch (error) {
        if (!(error instanceof ChannelClosedError)) throw error;
        if (missing !== undefined) context.output.error((missing as Error).message);
        missing = error;
      }
    }
    if (missing !== undefined) throw missing;
  },
};

async function deleteOne(context: Context, name: string, yes: boolean | undefined): Promise<void> {
  const channel = await context.existing(name);
  if (!yes) {
    const depth = await channel.depth(context.waiting);
    const values = depth === 1 ? "its value" : `its ${depth} values`;
    await confirm(context, `delete the channel ${name}${depth === 0 ? "" : ` and ${values}`}?`);
  }
  await channel.delete(context.waiting);
}
