import { ChannelClosedError } from "../../../mod.ts";
import { dropAll, listAll, retryAll } from "../dead_letter_work.ts";
import type { Command } from "../command.ts";
import { confirm, yesOption } from "../confirmation.ts";
import { count } from "../numbers.ts";

interface Options {
  readonly count?: number;
  readonly yes?: boolean;
}

/** How many dead letters are listed by default. */
const listed = 100;

export const command: Command<Options> = {
  args: "<name> <action>",
  argHelp: {
    name: "the name of the channel whose dead letters are meant",
    action: "list prints them; retry puts them back into the channel; drop deletes them",
  },
  argChoices: { action: ["list", "retry", "drop"] },
  description: "Works on the dead letters of a channel: the values that were received " +
    "maxAttempts times and never accepted.",
  options: [
    {
      flags: "-n, --count <n>",
      description: `the first n only (default: 100 for list, else all that are there)`,
      parse: count,
    },
    yesOption,
  ],
  examples: [
    { text: "see why values have failed", line: "channelts dead-letters jobs list" },
    {
      text: "put them back after the fault is corrected",
      line: "channelts dead-letters jobs retry",
    },
    { text: "delete the oldest ten", line: "channelts dead-letters jobs drop -n 10 --yes" },
  ],
  notes: "retry puts each value into the channel before it takes it out of the dead " +
    "letters: if the command is killed, a value may be in both, and is never lost. " +
    "While list runs, other programs do not receive what it lists. drop asks on a " +
    "terminal, and needs --yes elsewhere. The exit code is 4 if there is no such " +
    "channel.",
  async run(context, [name, action], options) {
    const channel = await context.existing(name as string);
    const dead = await context.raw(channel.deadLetters.name);
    let there: number;
    try {
      there = await dead.depth(context.waiting);
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error;
      await channel.depth(context.waiting); // rejects if the channel does not exist either
      there = 0; // the channel of dead letters is created by the first one
    }
    const most = Math.min(there, options.count ?? (action === "list" ? listed : Infinity));
    if (action === "list") {
      const shown = await listAll(context, dead, most, options.json === true);
      if (there > shown) context.output.note(`dead-letters: ${shown} of ${there} are listed`);
      return;
    }
    if (action === "drop" && most > 0) {
      await confirm(
        context,
        `drop ${most === 1 ? "1 dead letter" : `${most} dead letters`} of ${name}?`,
        options.yes,
      );
    }
    const run = action === "drop" ? dropAll : retryAll;
    const done = await run(context, {
      dead,
      channel: await context.raw(name as string),
      most,
      ...options,
    });
    if (options.json) {
      return await context.output.line(JSON.stringify({ name, action, count: done }));
    }
    const what = done === 1 ? "1 dead letter" : `${done} dead letters`;
    context.output.note(
      action === "drop"
        ? `dead-letters: ${what} dropped`
        : `dead-letters: ${what} put back into ${name}`,
    );
  },
};
