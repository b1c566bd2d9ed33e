import { ChannelError } from "../../../mod.ts";
import { CliError } from "../cli_error.ts";
import type { Command } from "../command.ts";
import { valuesOfInput } from "../input.ts";
import {
  notationOf,
  type NotationOptions,
  outputOptions,
  readValue,
  writeValue,
} from "../values.ts";

interface Options extends NotationOptions {
  readonly encoding?: "cbor" | "json";
}

export const command: Command<Options> = {
  args: "<name> [value]",
  argHelp: {
    name: "the name of the channel",
    value: "the value of the request; without it, each line of stdin is a request",
  },
  description: "Makes a request to the servers of a channel, and prints the reply. Requests from " +
    "stdin are made one after the other.",
  options: [
    ...outputOptions,
    {
      flags: "--encoding <encoding>",
      description: "how the request is encoded; json is for ChannelPy",
      choices: ["cbor", "json"],
    },
  ],
  examples: [
    { text: "make a request", line: `channelts request resize '{"width": 640}' --timeout 5000` },
    { text: "make a request with text", line: "channelts request upper --raw hello" },
  ],
  notes: "--raw and --cbor are for the request and the reply; what JSON does not have is " +
    "printed in its nearest form. If the server fails, the exit code is 1; if no reply " +
    "comes in time, it is 3.",
  async run(context, [name, text], options) {
    const notation = notationOf(options);
    const { encoding } = options;
    const channel = await context.channel(name as string, encoding && { encoding });
    const values = typeof text === "string" && notation !== "cbor"
      ? [readValue(text, notation, "request: the value")]
      : valuesOfInput(options, context.signal);
    for await (const value of values) {
      const reply = await channel.request(value, context.waiting).catch((error) => {
        if (error instanceof ChannelError || context.signal.aborted) throw error;
        const { name, message } = error as Error; // what the handler has thrown
        throw new CliError(`request: the server has failed: ${name}: ${message}`, { cause: error });
      });
      await context.output.write(writeValue(reply, options, false));
    }
  },
};
