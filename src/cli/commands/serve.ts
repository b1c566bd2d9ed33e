import { type RequestContext, serve } from "../../../mod.ts";
import { runChild } from "../child.ts";
import { CliError } from "../cli_error.ts";
import type { Command } from "../command.ts";
import { count, milliseconds } from "../numbers.ts";
import { inputOf, notationOf, type NotationOptions, readValue } from "../values.ts";

interface Options extends NotationOptions {
  readonly concurrency?: number;
  readonly grace?: number;
}

export const command: Command<Options> = {
  args: "<name> <program...>",
  argHelp: {
    name: "the name of the channel",
    program: "the program that handles a request, and its arguments, after --",
  },
  description:
    "Serves requests by a program, which is started for each request: its stdin is the " +
    "value of the request, and its stdout is the reply. Both are JSON.",
  options: [
    {
      flags: "--concurrency <n>",
      description: "how many requests are handled at a time (default: 1)",
      parse: count,
    },
    {
      flags: "--grace <ms>",
      description: "how long requests may take to end after Ctrl-C (default: 10000)",
      parse: milliseconds,
    },
    { flags: "--raw", description: "the value and the reply are text, not JSON" },
    { flags: "--cbor", description: "the value and the reply are CBOR items" },
  ],
  examples: [
    { text: "double numbers", line: "channelts serve double -- jq '. * 2'" },
    {
      text: "serve text, four requests at a time",
      line: "channelts serve upper --raw --concurrency 4 -- tr a-z A-Z",
    },
  ],
  notes: "If the program ends with another code than 0, the request fails with an error that " +
    "names the code. If the requester no longer waits, the program gets SIGTERM. Ctrl-C " +
    "waits for the requests in progress. A second Ctrl-C ends the command at once, and the " +
    "requests go back to the channel.",
  async run(context, [name, program], options) {
    const { output, signal } = context;
    const notation = notationOf(options);
    const line = program as readonly string[] as readonly [string, ...string[]];
    const channel = await context.channel(name as string);
    let fail: (error: unknown) => void = () => {};
    /** Rejects if the program cannot be started; the request then goes back with the channel. */
    const failed = new Promise<never>((_, reject) => fail = reject);
    failed.catch(() => {}); // awaited below
    let handling = 0;
    const handle = (value: unknown, request: RequestContext): Promise<unknown> => {
      handling++;
      return answer(value, request).finally(() => handling--);
    };
    const answer = async (value: unknown, request: RequestContext): Promise<unknown> => {
      const input = inputOf(value, options);
      const ended = await runChild(line, input, request.signal).catch((error) => {
        fail(new CliError(`serve: ${(error as Error).message}`, { cause: error }));
        return new Promise<never>(() => {});
      });
      if (ended.failure !== undefined) {
        if (!request.signal.aborted) output.warn(`serve: ${line[0]} ${ended.failure}`);
        throw new Error(`the program ${ended.failure}`);
      }
      return replyOf(ended.output, notation);
    };
    const serving = serve(channel, handle, {
      signal,
      concurrency: options.concurrency ?? 1,
      grace: options.grace ?? 10_000,
      onerror: (error) => output.warn((error as Error).message),
    });
    output.note(`serve: waiting for requests on ${channel.name}`);
    const onAbort = () => {
      if (handling > 0) {
        output.note(`serve: ${handling} in progress; a second Ctrl-C gives them back`);
      }
    };
    signal.addEventListener("abort", onAbort);
    await Promise.race([serving, failed]);
    signal.removeEventListener("abort", onAbort);
    signal.throwIfAborted();
  },
};

/** Returns the reply that a program has written. */
function replyOf(written: Uint8Array, notation: "json" | "raw" | "cbor"): unknown {
  if (notation === "cbor") return readValue(written, notation, "the output of the program");
  if (notation === "json" && written.every((byte) => byte <= 32)) return null;
  const value = readValue(written, notation, "the output of the program");
  return notation === "raw" ? (value as string).replace(/\r?\n$/, "") : value;
}
