import type { CommandOption } from "./command.ts";
import { milliseconds } from "./numbers.ts";

/** The options of every command. */
export const sharedOptions: readonly CommandOption[] = [
  {
    flags: "--connection <uri>",
    description: "the broker, home or file, such as amqp://host or sqlite:jobs.db",
  },
  {
    flags: "--timeout <ms>",
    description: "milliseconds to wait for each operation (default: no limit)",
    parse: milliseconds,
  },
  { flags: "--quiet", description: "print only data and errors" },
  { flags: "--json", description: "print JSON for programs instead of text for people" },
];
