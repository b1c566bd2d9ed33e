import type { Command } from "./command.ts";

/** A line of the table of commands. */
export interface CommandEntry {
  /** A line of the program's help. */
  readonly summary: string;
  /** Loads the command's file. */
  load(): Promise<{ readonly command: Command<never> }>;
}

/** The commands in the order of the program's help. */
export const commandTable: Readonly<Record<string, CommandEntry>> = {
  put: { summary: "put values into a channel", load: () => import("./commands/put.ts") },
  get: { summary: "get values from a channel", load: () => import("./commands/get.ts") },
};
