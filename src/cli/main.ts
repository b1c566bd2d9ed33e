import { Command as Parser, CommanderError, Help, InvalidArgumentError, Option } from "commander";
import process from "node:process";
import { version } from "../shared/version.ts";
import { CliError } from "./cli_error.ts";
import type { Command, CommandOption } from "./command.ts";
import { commandTable } from "./command_table.ts";
import type { CommonOptions } from "./common_options.ts";
import type { CommandWords } from "./completion.ts";
import { Interruption } from "./interruption.ts";
import { Output } from "./output.ts";
import { sharedOptions } from "./shared_options.ts";

const description = "Puts, gets and watches values in the channels of ChannelTS.";

const epilog = `
Connection:
  The first of these is used: the option --connection, the variable
  CHANNELTS_URI, the file that CHANNELTS_CONFIG names, ~/.channelts.yml,
  ~/.channelpy.yml. Give a URI with a password by the variable or a file: every
  user of the machine can read the arguments of a process.

Exit codes:
  0    success
  1    failure
  2    wrong arguments, or a connection that is not valid
  3    nothing came within --timeout, or the channel is empty
  4    the channel is closed or was deleted, or does not exist
  130  ended by Ctrl-C; 143: by SIGTERM

"channelts help put" describes a command.`;

/**
 * Runs the program `channelts`: data goes to stdout, and all else to stderr. While it runs, SIGINT and SIGTERM end the
 * command, which gives back what it holds. The process is not ended.
 *
 * @param args the arguments of the program, such as `["get", "jobs", "--timeout", "1000"]`
 * @returns the exit code: 0; 1 after a failure; 2 for wrong arguments; 3 if nothing came in time; 4 if the channel is
 * closed; 130 or 143 after a signal
 *
 * @example
 * ```ts
 * import { main } from "@channelts/channel/cli";
 * import { equal } from "node:assert/strict";
 *
 * equal(await main(["--version"]), 0); // prints the version
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  let code = 0;
  const program = programOf(async (name, command, positional, options) => {
    code = await run(name, command, positional, options);
  });
  try {
    await program.parseAsync(withoutHelpCommand(args), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    code = error.exitCode === 0 ? 0 : 2;
  }
  return code;
}

/** `help put` is `put --help`, for which the file of the command is loaded. */
function withoutHelpCommand(args: readonly string[]): readonly string[] {
  const [first, name, ...more] = args;
  if (first !== "help" || name === undefined) return args;
  return name in commandTable ? [name, "--help", ...more] : [name]; // an unknown command
}

type Arguments = Parameters<Command["run"]>[1];

type Run = (
  name: string,
  command: Command<never>,
  positional: Arguments,
  options: CommonOptions,
) => Promise<void>;

/** Returns the parser of the program. The file of a command is loaded when its name has been read. */
function programOf(run: Run): Parser {
  const program = configured(new Parser("channelts"))
    .description(description)
    .usage("COMMAND [arguments] [options]")
    .version(version, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "describe a command")
    .enablePositionalOptions()
    .addHelpText("after", epilog);
  for (const option of sharedOptions) program.addOption(optionOf(option));
  for (const [name, { summary }] of Object.entries(commandTable)) {
    configured(program.command(name)).summary(summary);
  }
  return program.hook("preSubcommand", async (_, parser) => {
    const name = parser.name();
    const entry = commandTable[name];
    if (entry === undefined) return; // help
    const { command } = await entry.load();
    define(parser, command);
    const action = async (...given: unknown[]) => {
      const options = parser.optsWithGlobals<CommonOptions>();
      await run(name, command, given.slice(0, -2) as Arguments, options);
    };
    parser.action(action);
  });
}

/** A parser whose errors are thrown, and which asks for no colours: on Deno, that needs a permission. */
function configured(parser: Parser): Parser {
  return parser.exitOverride().showHelpAfterError(false).configureOutput({
    getOutHasColors: () => false,
    getErrHasColors: () => false,
    outputError: (text, write) => write(usageMessage(parser.name(), text)),
  }).configureHelp({ showGlobalOptions: false });
}

/** Returns the parser's text for wrong arguments in the form of the other messages, with what to do. */
function usageMessage(name: string, text: string): string {
  const problem = text.trim().replace(/^error: /, "").replace(/\.$/, "")
    .replace(/\. (\w)/g, (_, letter: string) => `; ${letter.toLowerCase()}`);
  const [what, proposal] = problem.split("\n");
  const isCommand = name in commandTable;
  const advice = proposal === undefined
    ? `see "channelts ${isCommand ? `help ${name}` : "help"}"`
    : proposal.replace(/^\(Did you mean (.*\?)\)$/, "did you mean $1");
  return `channelts: ${isCommand ? `${name}: ` : ""}${what}; ${advice}\n`;
}

function define(parser: Parser, command: Command<never>): void {
  parser.description(command.description).helpOption("-h, --help", "print this help");
  for (const part of command.args?.split(" ") ?? []) {
    const name = part.replaceAll(/[<>[\].]/g, "");
    const argument = parser.createArgument(part, command.argHelp?.[name]);
    const choices = command.argChoices?.[name];
    parser.addArgument(choices === undefined ? argument : argument.choices([...choices]));
  }
  for (const option of [...command.options ?? [], ...sharedOptions]) {
    parser.addOption(optionOf(option));
  }
  const examples = command.examples.map(({ text, line }) => `  # ${text}\n  ${line}`).join("\n\n");
  parser.addHelpText("after", () => {
    const width = parser.configureOutput().getOutHelpWidth?.() ?? 80;
    const notes = new Help().boxWrap(command.notes ?? "", width);
    return `${notes === "" ? "" : `\n${notes}\n`}\nExamples:\n${examples}`;
  });
}

function optionOf({ flags, description, parse, choices, repeated }: CommandOption): Option {
  const option = new Option(flags, description);
  if (choices !== undefined) option.choices([...choices]);
  if (parse === undefined && !repeated) return option;
  return option.argParser((text: string, before: unknown) => {
    const value = parsed(parse, text);
    return repeated ? [...before as unknown[] ?? [], value] : value;
  });
}

function parsed(parse: CommandOption["parse"], text: string): unknown {
  try {
    return parse === undefined ? text : parse(text);
  } catch (error) {
    if (error instanceof CliError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

async function wordsOf(): Promise<CommandWords[]> {
  const { completionWords } = await import("./completion_words.ts");
  return await completionWords();
}

async function run(
  name: string,
  command: Command<never>,
  positional: Arguments,
  options: CommonOptions,
): Promise<number> {
  const output = new Output(options.quiet === true);
  const interruption = new Interruption();
  const { Context } = await import("./context.ts");
  const context = new Context(name, options, output, interruption.signal, wordsOf);
  try {
    return await command.run(context, positional, options as never) ?? 0;
  } catch (error) {
    const { exitCodeOf } = await import("./exit_code.ts");
    if (error !== interruption.signal.reason) output.error(messageOf(name, error));
    return exitCodeOf(error);
  } finally {
    await context.end();
    interruption.end();
    output.end();
  }
}

/** An error that is not for users has its stack, since it is a fault of the program. */
function messageOf(name: string, error: unknown): string {
  if (!(error instanceof Error)) return `${name}: ${error}`;
  const isKnown = error instanceof CliError || error.name.startsWith("Channel") ||
    error.name === "DataCloneError" || "code" in error;
  return isKnown ? error.message : error.stack ?? error.message;
}

/**
 * Runs the program for the file that is the program. The process then ends by itself when its connections are closed, so
 * that the broker has no connection that was cut, and after a second at the latest.
 */
export async function runProgram(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2));
  setTimeout(() => process.exit(), 1000).unref();
}
