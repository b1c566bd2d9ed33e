import { ChannelClosedError, ChannelConfigError, ChannelTimeoutError } from "../../mod.ts";
import { CliError, UsageError } from "./cli_error.ts";
import { Interrupted } from "./interruption.ts";

/** The exit codes of the program. After a signal it is 128 and the signal's number. */
export const exitCodes = {
  success: 0,
  failure: 1,
  usage: 2,
  /** An operation timed out, or the channel is empty. */
  timeout: 3,
  closed: 4,
} as const;

/** Returns the exit code for what a command has thrown. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof UsageError || error instanceof ChannelConfigError) return exitCodes.usage;
  if (error instanceof ChannelTimeoutError) return exitCodes.timeout;
  if (error instanceof ChannelClosedError) return exitCodes.closed;
  return error instanceof CliError ? error.exitCode : exitCodes.failure;
}
