// Scripts that complete the words of a command line in a shell. They contain all words, and start no process when they
// complete.

/** The shells that have a script. */
export const shells = ["bash", "zsh", "fish"] as const;

export type Shell = typeof shells[number];

/** What can be completed after the name of a command. */
export interface CommandWords {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionWords[];
  /** The words that an argument may be. */
  readonly choices: readonly string[];
}

export interface OptionWords {
  /** `-n` and `--count`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  /** Whether its value is the path of a file. */
  readonly isFile: boolean;
}

/** Returns the script of a shell. */
export function completionScript(shell: Shell, commands: readonly CommandWords[]): string {
  return { bash, zsh, fish }[shell](commands);
}

function bash(commands: readonly CommandWords[]): string {
  const cases = commands.map(({ name, options, choices }) => {
    const values = options.filter(({ takesValue }) => takesValue).map((option) =>
      `        ${option.names.join("|")}) ${bashValue(option)} ;;`
    );
    const names = options.flatMap((option) => option.names).join(" ");
    return `    ${name})
      case "$previous" in
${values.join("\n")}
      esac
      words="${names}"
      [[ $current == -* ]] || words="${choices.join(" ")}"
      ;;`;
  });
  return `# bash completion of channelts: eval "$(channelts completion bash)"
_channelts() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -- ]] && { compopt -o default; return; }
  done
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${
    [...commands.map(({ name }) => name), "help", "--help", "--version"].join(" ")
  }" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
    help) words="${commands.map(({ name }) => name).join(" ")}" ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _channelts channelts
`;
}

function bashValue({ choices, isFile }: OptionWords): string {
  if (choices.length > 0) {
    return `COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$current")); return`;
  }
  return isFile ? `COMPREPLY=($(compgen -f -- "$current")); return` : "return";
}

function zsh(commands: readonly CommandWords[]): string {
  const list = commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`);
  const cases = commands.map(({ name, options, choices }) => {
    const specs = options.map((option) => `        ${zshOption(option)} \\`);
    const words = choices.length > 0 ? `'*: :(${choices.join(" ")})'` : "'*: :_files'";
    return `    ${name})
      _arguments -s -S \\
${specs.join("\n")}
        ${words}
      ;;`;
  });
  return `#compdef channelts
# zsh completion of channelts: eval "$(channelts completion zsh)" after compinit
_channelts() {
  local -a commands
  commands=(
${list.join("\n")}
    'help:describe a command'
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local name=$words[2]
  shift words
  ((CURRENT--))
  case $name in
    help) _describe command commands ;;
${cases.join("\n")}
  esac
}
compdef _channelts channelts
`;
}

function zshOption({ names, description, takesValue, choices, isFile }: OptionWords): string {
  const action = choices.length > 0 ? `(${choices.join(" ")})` : isFile ? "_files" : " ";
  const text = description.replaceAll(/[[\]:\\]/g, "\\$&");
  const about = `[${text}]${takesValue ? `: :${action}` : ""}`;
  if (names.length === 1) return quoted(names[0]! + about);
  return `'(${names.join(" ")})'{${names.join(",")}}${quoted(about)}`;
}

function fish(commands: readonly CommandWords[]): string {
  const lines = ["# fish completion of channelts: channelts completion fish | source"];
  const first = "__fish_use_subcommand";
  lines.push("complete -c channelts -f");
  for (const { name, summary } of commands) {
    lines.push(`complete -c channelts -n ${first} -a ${name} -d ${quoted(summary)}`);
  }
  lines.push(`complete -c channelts -n ${first} -a help -d 'describe a command'`);
  lines.push(
    `complete -c channelts -n '__fish_seen_subcommand_from help' -a ` +
      quoted(commands.map(({ name }) => name).join(" ")),
  );
  for (const { name, options, choices } of commands) {
    // The first word decides, since a channel may be named as a command.
    const inside = quoted(`test (commandline -opc)[2] = ${name} 2>/dev/null`);
    if (choices.length > 0) {
      lines.push(`complete -c channelts -n ${inside} -a ${quoted(choices.join(" "))}`);
    }
    for (const option of options) {
      const flags = option.names.map((each) =>
        each.startsWith("--") ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`
      );
      const value = !option.takesValue
        ? ""
        : option.choices.length > 0
        ? ` -x -a ${quoted(option.choices.join(" "))}`
        : option.isFile
        ? " -r -F"
        : " -x";
      lines.push(
        `complete -c channelts -n ${inside} ${flags.join(" ")}${value} -d ${
          quoted(option.description)
        }`,
      );
    }
  }
  return lines.join("\n") + "\n";
}

/** Returns a text in single quotes, which the three shells read alike. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "’")}'`;
}
