import type { Finding, FindingLevel } from "../../connection/inspect.ts";
import { exitCodes } from "../exit_code.ts";
import type { Command } from "../command.ts";
import type { Context } from "../context.ts";
import { levels } from "../doctor/examination.ts";
import { examine } from "../doctor/examine.ts";
import type { Style } from "../output.ts";
import { printable } from "../printable.ts";

/** Milliseconds for which each step waits if --timeout is not given. */
const defaultTimeout = 10_000;

export const command: Command = {
  args: "[name]",
  argHelp: { name: "a channel, which is examined too" },
  description:
    "Examines the connection: which one is used and why, whether its broker, home or file " +
    "answers, versions, limits, alarms, and what the user may do. Each warning and problem " +
    "has its cure. It takes no value and leaves nothing behind, and prints no password.",
  options: [],
  examples: [
    { text: "examine the connection of this machine", line: "channelts doctor" },
    { text: "and the channel jobs", line: "channelts doctor jobs" },
    { text: "only what is wrong", line: "channelts doctor --quiet" },
    {
      text: "for a program: a finding a line",
      line: `channelts doctor --json | jq 'select(.level == "problem")'`,
    },
  ],
  notes: "--timeout applies to each step (default: 10000). With --quiet, only warnings and " +
    "problems are printed. If there is a problem, programs cannot use channels, and the exit " +
    "code is 1. RabbitMQ logs a line for each permission that is tried.",
  async run(context, [name], options) {
    const counts: Record<FindingLevel, number> = { ok: 0, note: 0, warning: 0, problem: 0 };
    let written = Promise.resolve();
    const report = (finding: Finding) => {
      counts[finding.level]++;
      if (options.quiet && levels.indexOf(finding.level) < levels.indexOf("warning")) return;
      const text = options.json ? JSON.stringify(finding) : shown(context, finding);
      written = written.then(() => context.output.line(text));
      written.catch(() => {}); // it is awaited below
    };
    try {
      await examine({
        ...options.connection === undefined ? {} : { uri: options.connection },
        ...name === undefined ? {} : { name: name as string },
        timeout: options.timeout ?? defaultTimeout,
        signal: context.signal,
        report,
      });
    } finally {
      await written;
    }
    context.output.note(summary(counts));
    return counts.problem > 0 ? exitCodes.failure : exitCodes.success;
  },
};

const styles: Readonly<Record<FindingLevel, Style>> = {
  ok: "green",
  note: "dim",
  warning: "yellow",
  problem: "red",
};

/** Columns of a level, with the space after it. */
const margin = 9;

function shown({ output }: Context, { level, what, cure }: Finding): string {
  const columns = output.isTerminal ? Math.max(output.size.columns, 40) : Infinity;
  const lines = wrapped(printable(what), columns - margin);
  const cures = cure === undefined ? [] : wrapped(printable(`cure: ${cure}`), columns - margin);
  return [...lines, ...cures.map((line) => output.style("bold", line))]
    .map((line, i) =>
      (i === 0 ? output.style(styles[level], level.padEnd(margin)) : " ".repeat(margin)) + line
    )
    .join("\n");
}

/** Breaks a text at spaces. A word that is longer than a line has a line of its own. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function summary({ warning, problem }: Record<FindingLevel, number>): string {
  const parts = [[problem, "problem"], [warning, "warning"]] as const;
  const found = parts.filter(([count]) => count > 0)
    .map(([count, thing]) => `${count} ${thing}${count === 1 ? "" : "s"}`);
  return `doctor: ${found.length === 0 ? "nothing is wrong" : found.join(" and ")}`;
}
