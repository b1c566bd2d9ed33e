import process from "node:process";
import { CliError } from "./cli_error.ts";
import { itemLength } from "./cbor_sequence.ts";
import { notationOf, type NotationOptions, readValue } from "./values.ts";

/** Reads the values on stdin, no faster than they are taken. @throws {CliError} if one cannot be read */
export async function* valuesOfInput(
  options: NotationOptions,
  signal: AbortSignal,
): AsyncGenerator<unknown, void> {
  const notation = notationOf(options);
  const [split, word] = notation === "cbor"
    ? [itemLength, "item"] as const
    : [lineLength(options.null ? 0 : 10), options.null ? "value" : "line"] as const;
  let n = 0;
  for await (const part of partsOfInput(split, signal)) {
    n++;
    // A line of JSON that is empty, such as the last one of a file, is no value.
    if (notation === "json" && isBlank(part)) continue;
    yield readValue(part, notation, `stdin: ${word} ${n}`);
  }
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

/** Where a part of the input ends. */
export interface Part {
  /** The bytes of the part. */
  readonly length: number;
  /** The bytes after it that are skipped. */
  readonly skip: number;
}

/**
 * Returns the part at the start of the bytes, or undefined if it is not complete.
 *
 * @param isLast whether no more bytes follow
 */
export type Split = (bytes: Uint8Array, isLast: boolean) => Part | undefined;

function lineLength(end: number): Split {
  let searched = 0; // so that a long line is not searched again with each chunk
  return (bytes, isLast) => {
    const at = bytes.indexOf(end, searched);
    searched = at < 0 ? bytes.length : 0;
    if (at < 0) return isLast ? { length: bytes.length, skip: 0 } : undefined;
    return {
      length: end === 10 && bytes[at - 1] === 13 ? at - 1 : at,
      skip: end === 10 && bytes[at - 1] === 13 ? 2 : 1,
    };
  };
}

async function* partsOfInput(split: Split, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  let chunks: Uint8Array[] = [];
  let bytes: Uint8Array = new Uint8Array();
  for await (const chunk of chunksOfInput(signal)) {
    chunks.push(chunk);
    bytes = joined([bytes, ...chunks]);
    chunks = [];
    for (let part; bytes.length > 0 && (part = split(bytes, false)) !== undefined;) {
      yield bytes.subarray(0, part.length);
      bytes = bytes.subarray(part.length + part.skip);
    }
  }
  while (bytes.length > 0) {
    const part = split(bytes, true);
    if (part === undefined) throw new CliError("stdin: the input ends within an item");
    yield bytes.subarray(0, part.length);
    bytes = bytes.subarray(part.length + part.skip);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const filled = parts.filter(({ length }) => length > 0);
  if (filled.length === 1) return filled[0]!;
  const all = new Uint8Array(filled.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of filled) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Reads stdin until it ends. @throws the reason of the signal */
export async function* chunksOfInput(signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const { stdin } = process;
  const stop = () => void stdin.destroy(signal.reason);
  if (signal.aborted) throw signal.reason;
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
