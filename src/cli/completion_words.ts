import type { Command, CommandOption } from "./command.ts";
import { commandTable } from "./command_table.ts";
import type { CommandWords, OptionWords } from "./completion.ts";
import { sharedOptions } from "./shared_options.ts";

/** Returns what can be completed, for which the files of all commands are loaded. */
export async function completionWords(): Promise<CommandWords[]> {
  const all: CommandWords[] = [];
  for (const [name, { summary, load }] of Object.entries(commandTable)) {
    const { command } = await load();
    all.push(wordsOf(name, summary, command));
  }
  return all;
}

function wordsOf(name: string, summary: string, command: Command<never>): CommandWords {
  const choices = Object.values(command.argChoices ?? {}).flat();
  const options = [...command.options ?? [], ...sharedOptions].map(optionOf);
  return { name, summary, options: [...options, help], choices };
}

const help: OptionWords = {
  names: ["-h", "--help"],
  description: "print this help",
  ...{ takesValue: false, choices: [], isFile: false },
};

function optionOf({ flags, description, choices = [] }: CommandOption): OptionWords {
  const value = /<(\w+)>/.exec(flags)?.[1];
  return {
    names: flags.match(/(?<![\w-])--?[a-z][\w-]*/gi) ?? [],
    description,
    takesValue: value !== undefined,
    choices,
    isFile: ["path", "file", "socket"].includes(value ?? ""),
  };
}
