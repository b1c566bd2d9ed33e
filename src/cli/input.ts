import process from "node:process";
import { CliError } from "./cli_error.ts";
import { type Part, Splitter } from "./splitter.ts";
import { notationOf, type NotationOptions, readValue } from "./values.ts";

/** Reads the values on stdin as they are written, no faster than they are taken. */
export async function* partsOfInput(
  options: NotationOptions,
  signal: AbortSignal,
): AsyncGenerator<Part, void> {
  const splitter = new Splitter(options);
  try {
    for await (const chunk of chunksOfInput(signal)) yield* splitter.push(chunk);
    yield* splitter.end();
  } catch (cause) {
    if (cause instanceof CliError) throw new CliError(`stdin: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Reads the values on stdin, no faster than they are taken. @throws {CliError} if one cannot be read */
export async function* valuesOfInput(
  options: NotationOptions,
  signal: AbortSignal,
): AsyncGenerator<unknown, void> {
  const notation = notationOf(options);
  for await (const { bytes, where, isBlank } of partsOfInput(options, signal)) {
    if (!isBlank) yield readValue(bytes, notation, `stdin: ${where}`);
  }
}

/** Returns the values in the output of a program. @param of the program, for errors */
export function valuesOfOutput(bytes: Uint8Array, options: NotationOptions, of: string): unknown[] {
  const notation = notationOf(options);
  const splitter = new Splitter(options);
  try {
    return [...splitter.push(bytes), ...splitter.end()].filter(({ isBlank }) => !isBlank)
      .map(({ bytes, where }) => readValue(bytes, notation, where));
  } catch (cause) {
    if (cause instanceof CliError) throw new CliError(`${of}: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Reads stdin until it ends. @throws the reason of the signal */
export async function* chunksOfInput(signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const { stdin } = process;
  const stop = () => void stdin.destroy(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", stop);
  try {
    for await (const chunk of stdin) yield chunk as Uint8Array;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
