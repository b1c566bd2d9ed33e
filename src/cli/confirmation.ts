import process from "node:process";
import { createInterface } from "node:readline/promises";
import { CliError, UsageError } from "./cli_error.ts";
import type { CommandOption } from "./command.ts";
import type { Context } from "./context.ts";

/** The option of commands that destroy values. */
export const yesOption: CommandOption = { flags: "-y, --yes", description: "do not ask" };

/**
 * Asks on the terminal whether to do what cannot be undone, unless the option --yes is given.
 *
 * @throws {UsageError} if there is no terminal to ask on
 * @throws {CliError} if the answer is no
 */
export async function confirm(context: Context, what: string, yes = false): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError(`${context.name}: nobody can confirm it without a terminal; add --yes`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // Readline reads the keys itself, so Ctrl-C is no signal here.
  terminal.once("SIGINT", () => process.kill(process.pid, "SIGINT"));
  // Ctrl-D closes it without an answer.
  const closed = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    const question = terminal.question(`${what} [y/N] `, { signal: context.signal });
    const answer = await Promise.race([question, closed]);
    if (/^y(?:es)?$/i.test(answer.trim())) return;
  } catch (error) {
    context.signal.throwIfAborted();
    throw error;
  } finally {
    terminal.close();
  }
  throw new CliError(`${context.name}: nothing is done`);
}
