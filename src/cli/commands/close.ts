import type { Command } from "../command.ts";

export const command: Command = {
  args: "<names...>",
  argHelp: { names: "the names of the channels" },
  description: "Closes channels for everyone: every program that is attached now has its " +
    "operations rejected and its loops ended. The values stay, and programs that " +
    "attach later can get them.",
  examples: [
    { text: "end all producers and consumers", line: "channelts close jobs" },
  ],
  notes: "The exit code is 4 if a channel does not exist. To let consumers get the values " +
    "first, use drain.",
  async run(context, [names]) {
    for (const name of names as readonly string[]) {
      const channel = await context.existing(name);
      await channel.closeAll(context.waiting);
    }
  },
};
