import type { CommonOptions } from "./common_options.ts";
import type { Context } from "./context.ts";

/** An option of a command. */
export interface CommandOption {
  /** As commander writes it: `-n, --count <n>`, or `--follow` for a switch. */
  readonly flags: string;
  readonly description: string;
  /** Returns the value of the option's text. @throws {UsageError} if the text is wrong */
  readonly parse?: (text: string) => unknown;
  /** What the option takes; completion offers it. */
  readonly choices?: readonly string[];
  /** Whether the option may be given several times; its value is an array. */
  readonly repeated?: boolean;
}

/** An example in the help of a command. */
export interface CommandExample {
  readonly text: string;
  /** A line for a shell. */
  readonly line: string;
}

/**
 * A command of the program. Each is the constant `command` of `commands/NAME.ts`, and has a line in the table of
 * `command_table.ts`. The file is loaded when the command runs.
 */
export interface Command<Options = Readonly<Record<string, never>>> {
  /** The positional arguments as commander writes them: `<name> [values...]`. Absent: none. */
  readonly args?: string;
  /** What each argument is, by its name. */
  readonly argHelp?: Readonly<Record<string, string>>;
  /** The values of an argument that has a fixed set, by its name; others are an error of usage. */
  readonly argChoices?: Readonly<Record<string, readonly string[]>>;
  /** What the command does: a few sentences for the help. */
  readonly description: string;
  readonly options?: readonly CommandOption[];
  readonly examples: readonly CommandExample[];
  /** Sentences of the help below the options: exit codes that differ, what Ctrl-C does. */
  readonly notes?: string;
  /**
   * Runs the command. It ends early when `context.signal` is aborted: it gives back what it holds, and throws the
   * signal's reason. Rejected operations may simply be thrown: `exit_code.ts` has their exit codes.
   *
   * @param args the positional arguments; a variadic one is an array, an optional one may be undefined
   * @returns the exit code; nothing for 0
   */
  run(
    context: Context,
    args: readonly (string | undefined | readonly string[])[],
    options: Options & CommonOptions,
  ): Promise<number | void>;
}
