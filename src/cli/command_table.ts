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
  peek: {
    summary: "print the values that wait in a channel",
    load: () => import("./commands/peek.ts"),
  },
  tail: { summary: "print the broadcasts of a channel", load: () => import("./commands/tail.ts") },
  request: {
    summary: "make a request to the servers of a channel",
    load: () => import("./commands/request.ts"),
  },
  serve: { summary: "serve requests by a program", load: () => import("./commands/serve.ts") },
  pipe: {
    summary: "move values to another channel, on any connection",
    load: () => import("./commands/pipe.ts"),
  },
  stats: {
    summary: "print how many values wait, are on loan, are dead letters",
    load: () => import("./commands/stats.ts"),
  },
  "dead-letters": {
    summary: "list dead letters, put them back, or drop them",
    load: () => import("./commands/dead_letters.ts"),
  },
  drain: {
    summary: "refuse puts, and wait until consumers are done",
    load: () => import("./commands/drain.ts"),
  },
  close: { summary: "close channels for everyone", load: () => import("./commands/close.ts") },
  delete: {
    summary: "delete channels and their values",
    load: () => import("./commands/delete.ts"),
  },
  bench: {
    summary: "measure the broker, home or file",
    load: () => import("./commands/bench.ts"),
  },
  home: { summary: "start a home", load: () => import("./commands/home.ts") },
  doctor: {
    summary: "find out what is wrong with a connection",
    load: () => import("./commands/doctor.ts"),
  },
  completion: {
    summary: "print a script that completes commands in a shell",
    load: () => import("./commands/completion.ts"),
  },
};
