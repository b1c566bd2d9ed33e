/** The completion of channelts, in each shell as a person uses it. */

import { ok } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { completionScript, type Shell } from "../src/cli/completion.ts";
import { completionWords } from "../src/cli/completion_words.ts";
import { until } from "./conformance/fixture.ts";
import { findProgram } from "./support/installation.ts";
import { noTerminal, Terminal } from "./support/terminal.ts";
import { test } from "./support/test.ts";

/** How each shell is started without the user's files, and how it loads a script. */
const shells: Record<Shell, { command: readonly string[]; load(file: string): string }> = {
  bash: {
    command: ["bash", "--norc", "--noprofile", "-i"],
    load: (file) => `PS1='ready>'; source ${file}`,
  },
  zsh: {
    command: ["zsh", "-f", "-i"],
    load: (file) => `PROMPT='ready>'; autoload -U compinit; compinit -u -D; source ${file}`,
  },
  fish: {
    command: ["fish", "--no-config", "-i"],
    load: (file) => `function fish_prompt; echo 'ready>'; end; source ${file}`,
  },
};

/** What is typed before the tab, and what is then on the line. */
const typed: readonly (readonly [string, string])[] = [
  ["channelts pu", "channelts put "],
  ["channelts help dead", "channelts help dead-letters"],
  ["channelts get jobs --fol", "channelts get jobs --follow"],
  ["channelts put get --encoding j", "channelts put get --encoding json"],
  ["channelts dead-letters jobs ret", "channelts dead-letters jobs retry"],
  ["channelts put jobs --file val", "channelts put jobs --file values.jsonl"],
];

for (const [name, { command, load }] of Object.entries(shells)) {
  const skip = noTerminal ||
    findProgram(command[0]!) === undefined && `${name} is not on the PATH`;
  test(`completion: ${name} completes commands, options and what they take`, { skip }, async () => {
    const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-completion-"));
    try {
      const file = join(folder, "script");
      writeFileSync(file, completionScript(name as Shell, await completionWords()));
      writeFileSync(join(folder, "values.jsonl"), "");
      const env = { HOME: folder };
      const start = ["sh", "-c", `cd ${folder} && exec "$@"`, "sh", ...command];
      await using terminal = await Terminal.start(start, { columns: 120, env });
      const shown = async (text: string) => {
        await until(() => terminal.text.includes(text)).catch(() => {
          ok(false, `${text} is not shown in\n${terminal.text}`);
        });
      };
      terminal.type(`${load(file)}; echo lo''aded\r`);
      await shown("\nloaded");
      for (const [before, after] of typed) {
        terminal.type(`${before}\t`);
        await shown(after);
        terminal.type("\x15"); // removes the line
      }
      terminal.type("exit\r");
      await terminal.exited;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
