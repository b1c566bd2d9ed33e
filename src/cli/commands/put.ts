import { readFileSync } from "node:fs";
import process from "node:process";
import type { Channel, PutOptions } from "../../../mod.ts";
import { CliError, UsageError } from "../cli_error.ts";
import type { Command } from "../command.ts";
import type { Context } from "../context.ts";
import { chunksOfInput, partsOfInput } from "../input.ts";
import { milliseconds } from "../numbers.ts";
import { receiptsOption, ReceiptsWriter } from "../receipts.ts";
import { inputOptions, notationOf, type NotationOptions, readValue } from "../values.ts";

interface Options extends NotationOptions {
  readonly file?: readonly string[];
  readonly receipts?: string;
  readonly encoding?: "cbor" | "json";
  readonly delay?: number;
  readonly expires?: number;
  readonly priority?: number;
}

/** The number of puts that are in progress at a time. No more of stdin is read while there are so many. */
const concurrency = 256;

/** Milliseconds that puts in progress have after Ctrl-C: the channel may have their values already. */
const grace = 2000;

export const command: Command<Options> = {
  args: "<name> [values...]",
  argHelp: { name: "the name of the channel", values: "the values; without any, those on stdin" },
  description: "Puts values into a channel: the arguments, or a value from each line of stdin. " +
    "Values are JSON. A value is put when the broker has confirmed it; stdin is read " +
    "no faster than that.",
  options: [
    ...inputOptions,
    {
      flags: "--file <path>",
      description: "put the bytes of a file as one value; - is stdin",
      repeated: true,
    },
    {
      flags: "--encoding <encoding>",
      description: "how values are encoded in the channel; json is for ChannelPy",
      choices: ["cbor", "json"],
    },
    {
      flags: "--delay <ms>",
      description: "deliver the values after this time",
      parse: milliseconds,
    },
    {
      flags: "--expires <ms>",
      description: "drop the values if they wait longer",
      parse: milliseconds,
    },
    {
      flags: "--priority <n>",
      description: "deliver values of a higher number first",
      parse: integer,
    },
    receiptsOption,
  ],
  examples: [
    { text: "put a value", line: `channelts put jobs '{"n": 1}'` },
    {
      text: "put a value from each line of a file of JSON Lines",
      line: "channelts put jobs <jobs.jsonl",
    },
    { text: "put text", line: "channelts put names --raw Ada Grace" },
    { text: "put an image as bytes", line: "channelts put images --file photo.jpg" },
  ],
  notes: "If a value cannot be read or put, the command says how many values it has put, " +
    "and ends. So does Ctrl-C.",
  async run(context, [name, values], options) {
    const { delay, expires, priority, encoding, file } = options;
    const given = (values as readonly string[]).length > 0;
    if (given && file !== undefined) {
      throw new UsageError("put: values and --file exclude each other; leave one of them out");
    }
    if (given && options.cbor) {
      throw new UsageError("put: CBOR is read from stdin; leave out the values or --cbor");
    }
    if (options.receipts !== undefined && (given || file !== undefined)) {
      throw new UsageError(
        "put: --receipts is for values on stdin; leave out the values or --receipts",
      );
    }
    const terms = Object.fromEntries(
      Object.entries({ delay, expires, priority }).filter(([, value]) => value !== undefined),
    );
    const source = file !== undefined
      ? valuesOfFiles(file, context.signal)
      : given
      ? valuesOfArguments(values as readonly string[], options)
      : valuesOfLines(options, context.signal);
    if (!given && file === undefined && process.stdin.isTTY) {
      context.output.note(
        "put: reading values from the terminal, one a line; Ctrl-D ends the input",
      );
    }
    const channel = await context.channel(name as string, encoding && { encoding });
    const receipts = options.receipts === undefined
      ? undefined
      : await ReceiptsWriter.connect(options.receipts, context.signal);
    await putAll(context, channel, source, terms, receipts);
  },
};

function integer(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && text.trim() !== "") return value;
  throw new UsageError("it must be a whole number");
}

function* valuesOfArguments(
  values: readonly string[],
  options: NotationOptions,
): Generator<unknown> {
  const notation = notationOf(options);
  const all = values.map((text, index) => readValue(text, notation, `put: value ${index + 1}`));
  yield* all; // all are read before the first is put
}

/** A line without a value. It counts for the receipts. */
const nothing = Symbol("nothing");

async function* valuesOfLines(
  options: NotationOptions,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  const notation = notationOf(options);
  for await (const { bytes, where, isBlank } of partsOfInput(options, signal)) {
    yield isBlank ? nothing : readValue(bytes, notation, `stdin: ${where}`);
  }
}

async function* valuesOfFiles(
  paths: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  for (const path of paths) {
    if (path !== "-") {
      yield fileOf(path);
      continue;
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of chunksOfInput(signal)) chunks.push(chunk);
    yield new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
  }
}

function fileOf(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path)); // without the class Buffer, which is not Uint8Array's own
  } catch (cause) {
    throw new CliError(`put: the file ${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Puts values in order, so many at a time. @throws what ended the puts, after those in progress have settled */
async function putAll(
  context: Context,
  channel: Channel,
  values: Iterable<unknown> | AsyncIterable<unknown>,
  terms: PutOptions,
  receipts: ReceiptsWriter | undefined,
): Promise<void> {
  const pending = new Set<Promise<void>>();
  let begun = 0;
  let done = 0;
  let failure: { readonly error: unknown } | undefined;
  const putting = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const interrupted = () => {
    timer = setTimeout(() => putting.abort(context.signal.reason), grace);
  };
  context.signal.addEventListener("abort", interrupted);
  const options = { ...terms, ...context.waiting, signal: putting.signal };
  const put = async (value: unknown, index: number) => {
    try {
      if (value !== nothing) {
        await channel.put(value, options);
        done++;
      }
      receipts?.done(index);
    } catch (error) {
      failure ??= { error };
    }
  };
  try {
    for await (const value of values) {
      const putting: Promise<void> = put(value, begun++).finally(() => pending.delete(putting));
      pending.add(putting);
      while (pending.size >= concurrency) await Promise.race(pending);
      if (failure !== undefined) break;
    }
  } catch (error) {
    failure ??= { error };
  }
  await Promise.all(pending);
  clearTimeout(timer);
  context.signal.removeEventListener("abort", interrupted);
  await receipts?.end();
  if (failure === undefined) return;
  if (done > 0) {
    context.output.note(`put: ${done === 1 ? "1 value was" : `${done} values were`} put before`);
  }
  throw failure.error;
}
