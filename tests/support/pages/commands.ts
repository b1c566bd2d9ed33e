// The blocks of `sh` on the pages that use the program channelts. The comments below a command are what it prints.

import { type Block, blocksOf } from "./pages.ts";

/** A command on a page. */
export interface Command {
  readonly page: string;
  /** The line of the page. */
  readonly line: number;
  readonly text: string;
  /** The lines that it prints on stdout and stderr; undefined if the page does not say. */
  readonly output?: readonly string[];
  readonly code: number;
}

type Mutable = { -readonly [Key in keyof Command]: Command[Key] };

/** How a command has ended. */
export interface Ending {
  readonly output: string;
  readonly code: number;
}

/** Returns the blocks of a page that use the program. */
export function programBlocksOf(page: string, text?: string): Block[] {
  return blocksOf(page, text).filter(({ language, text }) =>
    language === "sh" && /(?:^|[|;&(])[ \t]*channelts\s/m.test(text)
  );
}

/**
 * Returns the commands of a block. A comment directly below a command is a line that the command prints, or its exit
 * code; other comments are for the reader. A line that is indented, or follows `|` or `\`, continues a command.
 */
export function commandsOf({ page, line, text }: Pick<Block, "page" | "line" | "text">): Command[] {
  const commands: Mutable[] = [];
  let current: typeof commands[number] | undefined;
  for (const [index, each] of text.split("\n").entries()) {
    if (each.trim() === "") current = undefined;
    else if (each.startsWith("#")) {
      if (current === undefined) continue;
      const stated = each.replace(/^# ?/, "");
      const code = /^exit code: (\d+)$/.exec(stated);
      if (code !== null) current.code = Number(code[1]);
      else current.output = [...current.output ?? [], stated];
    } else if (current !== undefined && continues(current.text, each)) {
      current.text += `\n${each}`;
    } else commands.push(current = { page, line: line + index, text: each, code: 0 });
  }
  return commands;
}

const continues = (command: string, line: string) => /^\s/.test(line) || /[|\\]$/.test(command);

const mark = "@@channelts";

/** Returns the script that runs commands one after the other in one shell, as a reader does in a terminal. */
export function scriptOf(commands: readonly Command[]): string {
  const parts = commands.map(({ text }) => `${text}\nprintf '\\n${mark} %s\\n' "$?"\n`);
  return `exec 2>&1 </dev/null\n${parts.join("")}`;
}

/** Returns how the commands of a script have ended. Commands that were not run are missing. */
export function endingsOf(output: string): Ending[] {
  const endings: Ending[] = [];
  let start = 0;
  for (const match of output.matchAll(new RegExp(`\\n${mark} (\\d+)\\n`, "g"))) {
    endings.push({ output: output.slice(start, match.index), code: Number(match[1]) });
    start = match.index + match[0].length;
  }
  return endings;
}

/** Returns the pattern of the output that a page states. `…` is any text of a line; alone, it is any lines. */
export function patternOf(lines: readonly string[]): RegExp {
  const parts = lines.map((line) => {
    if (line === "…") return "(?:.*\\n)*";
    return `${line.split("…").map((text) => RegExp.escape(text)).join(".*")}[ ]*\\n`;
  });
  return new RegExp(`^${parts.join("")}$`);
}
