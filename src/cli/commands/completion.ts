import type { Command } from "../command.ts";
import { completionScript, type Shell, shells } from "../completion.ts";

export const command: Command = {
  args: "<shell>",
  argHelp: { shell: "the shell" },
  argChoices: { shell: shells },
  description: "Prints a script that completes commands and options of channelts in a shell.",
  examples: [
    { text: "in ~/.bashrc", line: 'eval "$(channelts completion bash)"' },
    { text: "in ~/.zshrc, after compinit", line: 'eval "$(channelts completion zsh)"' },
    { text: "in ~/.config/fish/config.fish", line: "channelts completion fish | source" },
  ],
  async run({ output, words }, [shell]) {
    await output.write(completionScript(shell as Shell, await words()));
  },
};
